#include "serving/schedule/wait.h"

#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

TEST(PredictedWait, NobodyIsRefusedOnAGuess) {
  EXPECT_EQ(PredictedWaitSeconds({.waiting = 1'000, .waiting_tokens = 1'000'000}), 0);
}

TEST(PredictedWait, IsTheLongerOfReadingPromptsAndOfWaitingForPlaces) {
  Backlog backlog{.running_tokens = 100,
                  .waiting = 9,
                  .waiting_tokens = 900,
                  .waiting_places = 9,
                  .free_slots = 0,
                  .free_blocks = 1'000,
                  .prompt_tokens_per_second = 500,
                  .sequences_per_second = 2};
  EXPECT_DOUBLE_EQ(PredictedWaitSeconds(backlog), 5);  // ten must end, two a second
  backlog.free_slots = 10;
  EXPECT_DOUBLE_EQ(PredictedWaitSeconds(backlog), 2);
}

TEST(PredictedWait, PlacesAreForThoseWhoGoOnAndAsLongAsThoseWhoWait) {
  Backlog backlog{.waiting = 1'000,
                  .waiting_tokens = 20'000,
                  .waiting_places = 0,  // they end with their prompts
                  .free_slots = 10,
                  .free_blocks = 100,
                  .block_tokens = 16,
                  .sequences_per_second = 1};
  EXPECT_EQ(PredictedWaitSeconds(backlog), 0);
  backlog.waiting_places = 12;
  EXPECT_DOUBLE_EQ(PredictedWaitSeconds(backlog), 3);
  backlog.waiting_tokens = 400'000;  // 26 blocks each: three have room
  EXPECT_DOUBLE_EQ(PredictedWaitSeconds(backlog), 10);
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
