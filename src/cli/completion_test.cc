#include "cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace longrun::cli {
namespace {

using ::testing::HasSubstr;

const std::vector<CommandShape>& Commands() {
  static const std::vector<CommandShape> commands{
      {"run", "Run it, and don't stop", {"--name", "--json"}, CommandShape::Words::kFiles, {}},
      {"why", "Explain it", {"--json"}, CommandShape::Words::kRuns, {}},
      {"fault", "Break it", {"--rank"}, CommandShape::Words::kChoices, {"kill-rank", "kill-node"}}};
  return commands;
}

TEST(CompletionTest, EachShellGetsEveryCommandAndFlag) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = CompletionScript(shell, Commands()).value();
    for (const char* word : {"run", "why", "fault", "kill-node", "/runs"}) {
      EXPECT_THAT(script, HasSubstr(word)) << shell;
    }
  }
  EXPECT_THAT(CompletionScript("bash", Commands()).value(), HasSubstr("--name --json"));
  EXPECT_THAT(CompletionScript("fish", Commands()).value(), HasSubstr("-l name"));
}

TEST(CompletionTest, DescriptionsDoNotEndTheirQuotes) {
  EXPECT_THAT(CompletionScript("zsh", Commands()).value(),
              HasSubstr("'run:Run it, and don’t stop'"));
}

TEST(CompletionTest, OtherShellsAreRefused) {
  const absl::Status status = CompletionScript("bahs", Commands()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("did you mean \"bash\"?"));
}

}  // namespace
}  // namespace longrun::cli
