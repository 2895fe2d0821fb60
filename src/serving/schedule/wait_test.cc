#include "serving/schedule/wait.h"

#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

TEST(PredictedWait, NobodyIsRefusedOnAGuess) {
  EXPECT_EQ(PredictedWaitSeconds({.prompt_tokens = 1'000'000, .waiting = 1'000}), 0);
}

TEST(PredictedWait, IsTheLongerOfReadingPromptsAndOfWaitingForPlaces) {
  Backlog backlog{.prompt_tokens = 1'000,
                  .waiting = 9,
                  .free_slots = 0,
                  .prompt_tokens_per_second = 500,
                  .sequences_per_second = 2};
  EXPECT_DOUBLE_EQ(PredictedWaitSeconds(backlog), 5);  // ten must end, two a second
  backlog.free_slots = 10;
  EXPECT_DOUBLE_EQ(PredictedWaitSeconds(backlog), 2);
}

TEST(Rate, FollowsTheRecentPast) {
  Rate rate(10);
  EXPECT_EQ(rate.per_second(), 0);
  for (int i = 0; i < 100; ++i) rate.Add(5, 1);
  EXPECT_NEAR(rate.per_second(), 5, 1e-9);
  for (int i = 0; i < 100; ++i) rate.Add(1, 1);
  EXPECT_NEAR(rate.per_second(), 1, 0.01);
}

TEST(SwapIsCheaper, WeighsBothWaysAgainstComputingAgain) {
  EXPECT_TRUE(SwapIsCheaper(1e6, 1e9, 100, 1e-3));   // 2 ms against 100 ms
  EXPECT_FALSE(SwapIsCheaper(1e9, 1e9, 100, 1e-3));  // 2 s
  EXPECT_FALSE(SwapIsCheaper(1, 0, 100, 1e-3));      // unmeasured
}

}  // namespace
}  // namespace longrun::serving
