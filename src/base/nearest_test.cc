#include "base/nearest.h"

#include <gtest/gtest.h>

namespace longrun {
namespace {

TEST(NearestWordTest, FindsSlips) {
  const std::vector<std::string> words{"status", "cancel", "logs", "why", "run", "up", "down"};
  EXPECT_EQ(NearestWord("statsu", words), "status");
  EXPECT_EQ(NearestWord("cancle", words), "cancel");
  EXPECT_EQ(NearestWord("log", words), "logs");
  EXPECT_EQ(NearestWord("RUN", words), "run");
  EXPECT_EQ(NearestWord("xylophone", words), "");
  EXPECT_EQ(NearestWord("", words), "");
}

TEST(NearestWordTest, LeavesOutSeparatorsAndCase) {
  EXPECT_EQ(NearestWord("working_folder", {"workingFolder", "command"}), "workingFolder");
  EXPECT_EQ(NearestWord("kill_rank", {"kill-rank", "kill-node"}), "kill-rank");
}

TEST(NearestWordTest, OffersNoWordOfWhichNothingIsLeft) {
  EXPECT_EQ(NearestWord("a", {"up", "go"}), "");
  EXPECT_EQ(NearestWord(std::string(1 << 20, 'x'), {"run"}), "");
}

TEST(DidYouMeanTest, IsEmptyWithoutACandidate) {
  EXPECT_EQ(DidYouMean("rnaks", {"ranks"}), "; did you mean \"ranks\"?");
  EXPECT_EQ(DidYouMean("zzz", {"ranks"}), "");
}

}  // namespace
}  // namespace longrun
