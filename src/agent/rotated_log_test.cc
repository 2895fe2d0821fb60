#include "agent/rotated_log.h"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "gtest/gtest.h"

namespace longrun::agent {
namespace {

class RotatedLogTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/longrun-log-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/1.out";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Content(const std::string& suffix = "") {
    const auto text = ReadFile(path_ + suffix);
    return text.ok() ? *text : "";
  }
  RotatedLog Open(int64_t limit) {
    auto log = RotatedLog::Open(path_, limit);
    EXPECT_TRUE(log.ok());
    return *std::move(log);
  }

  std::string folder_, path_;
};

TEST_F(RotatedLogTest, RotatesBetweenLinesAndKeepsTheNewest) {
  RotatedLog log = Open(100);
  for (int i = 0; i < 1000; ++i) log.Append("line " + std::to_string(i) + "\n");
  int expected = 999;
  for (const std::string suffix : {"", ".1", ".2"}) {
    std::string text = Content(suffix);
    EXPECT_LE(text.size(), 100u);
    ASSERT_TRUE(text.ends_with("line " + std::to_string(expected) + "\n")) << suffix << text;
    EXPECT_TRUE(text.starts_with("line "));
    expected -= static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }
  EXPECT_FALSE(std::filesystem::exists(path_ + ".3"));
}

TEST_F(RotatedLogTest, ALineThatComesInPiecesIsNotTorn) {
  RotatedLog log = Open(100);
  log.Append(std::string(90, 'a'));
  log.Append(std::string(30, 'b'));
  log.Append("end\nnext\n");
  EXPECT_EQ(Content(".1"), std::string(90, 'a') + std::string(30, 'b') + "end\n");
  EXPECT_EQ(Content(), "next\n");
}

TEST_F(RotatedLogTest, ManyLinesInOnePieceAreSpreadOverFiles) {
  RotatedLog log = Open(64);
  std::string all;
  for (int i = 0; i < 12; ++i) all += "0123456789abcd\n";
  log.Append(all);
  EXPECT_EQ(Content(".2") + Content(".1") + Content(), all);
}

TEST_F(RotatedLogTest, ALineWithoutEndIsBounded) {
  RotatedLog log = Open(100);
  for (int i = 0; i < 1000; ++i) log.Append(std::string(37, 'x'));
  for (const std::string suffix : {"", ".1", ".2"}) EXPECT_LE(Content(suffix).size(), 200u);
  EXPECT_GT(Content().size() + Content(".1").size(), 100u);
}

TEST_F(RotatedLogTest, GoesOnWithWhatIsThere) {
  Open(100).Append(std::string(79, 'a') + "\n");
  RotatedLog log = Open(100);
  log.Append(std::string(30, 'b') + "\n");
  EXPECT_EQ(Content(".1").size(), 80u);
  EXPECT_EQ(Content(), std::string(30, 'b') + "\n");
}

TEST_F(RotatedLogTest, AFullDiskLosesLinesAndNothingElse) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit tight = before;
  tight.rlim_cur = 50;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  RotatedLog log = Open(1000);
  for (int i = 0; i < 10; ++i) log.Append("0123456789abcde\n");
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(log.lost_bytes(), 110);
  log.Append("again\n");
  EXPECT_TRUE(Content().ends_with("again\n"));
}

TEST_F(RotatedLogTest, AFileThatCannotBeOpenedIsNamed) {
  const auto log = RotatedLog::Open(folder_ + "/none/1.out", 100);
  ASSERT_FALSE(log.ok());
  EXPECT_NE(std::string(log.status().message()).find("/none/1.out"), std::string::npos);
}

}  // namespace
}  // namespace longrun::agent
