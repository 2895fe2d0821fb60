#include "agent/options.h"

#include <string>

#include "gtest/gtest.h"

namespace longrun::agent {
namespace {

std::vector<std::string> Needed() {
  return {"--node", "n", "--control", "unix:/c", "--state", "/s", "--runs", "/r"};
}

std::string ErrorOf(std::vector<std::string> more) {
  std::vector<std::string> flags = Needed();
  flags.insert(flags.end(), more.begin(), more.end());
  return std::string(ParseOptions(flags).status().message());
}

TEST(AgentOptions, ReadsEveryFlag) {
  std::vector<std::string> flags = Needed();
  for (const char* word : {"--accelerators", "8", "--label", "rack=r1", "--label", "hall=h=2",
                           "--type=h200", "--orphan-after", "90s", "--cpu-milli", "4000"}) {
    flags.push_back(word);
  }
  const auto options = ParseOptions(flags);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->node, "n");
  EXPECT_EQ(options->accelerators, 8);
  EXPECT_EQ(options->labels.at("rack"), "r1");
  EXPECT_EQ(options->labels.at("hall"), "h=2");
  EXPECT_EQ(options->type, "h200");
  EXPECT_EQ(options->orphan_after, Duration::Seconds(90));
  EXPECT_EQ(options->cpu_milli, 4000);
}

TEST(AgentOptions, NamesTheFlagThatIsWrong) {
  EXPECT_NE(ErrorOf({"--accelerators", "-1"}).find("--accelerators: must be"), std::string::npos);
  EXPECT_NE(ErrorOf({"--accelerators"}).find("needs a value"), std::string::npos);
  EXPECT_NE(ErrorOf({"--label", "rack"}).find("KEY=VALUE"), std::string::npos);
  EXPECT_NE(ErrorOf({"--orphan-after", "10"}).find("--orphan-after"), std::string::npos);
  EXPECT_NE(ErrorOf({"--nodes", "3"}).find("--nodes: no such flag"), std::string::npos);
  EXPECT_NE(std::string(ParseOptions({"--node", "n"}).status().message()).find("--control is"),
            std::string::npos);
}

}  // namespace
}  // namespace longrun::agent
