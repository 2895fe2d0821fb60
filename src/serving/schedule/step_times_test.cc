#include "serving/schedule/step_times.h"

#include "gtest/gtest.h"
#include "serving/schedule/step_plan.h"

namespace longrun::serving {
namespace {

TEST(StepTimes, FindsTheLineThatMadeThem) {
  StepTimes times;
  for (int i = 0; i < 50; ++i) {
    for (const int64_t tokens : {1, 16, 64, 512}) {
      times.Add(tokens, 0.01 + 0.0005 * static_cast<double>(tokens));
    }
  }
  ASSERT_TRUE(times.line());
  EXPECT_NEAR(times.line()->fixed_seconds, 0.01, 1e-9);
  EXPECT_NEAR(times.line()->seconds_per_token, 0.0005, 1e-9);
  EXPECT_EQ(times.TokensWithin(0.1101), 200);
  EXPECT_EQ(times.TokensWithin(0.005), 0);
}

TEST(StepTimes, ThousandsOfDecodeStepsDoNotOutvoteThePrompts) {
  StepTimes times;
  times.Add(1'000, 1.01);
  for (int i = 0; i < 10'000; ++i) times.Add(1, 0.011);
  EXPECT_NEAR(times.Seconds(1'000), 1.01, 0.01);
}

TEST(StepTimes, OneSizeTellsNothingOfOthers) {
  StepTimes times;
  EXPECT_FALSE(times.TokensWithin(1));
  times.Add(8, 0.01);
  EXPECT_FALSE(times.TokensWithin(1));
}

TEST(StepTimes, FollowsTheMachine) {
  StepTimes times;
  for (int i = 0; i < 100; ++i) times.Add(1, 0.01), times.Add(100, 0.1);
  for (int i = 0; i < 300; ++i) times.Add(1, 0.02), times.Add(100, 0.2);
  EXPECT_NEAR(times.Seconds(100), 0.2, 0.01);
}

TEST(TokenBudget, KeepsTheGoalsAndAlwaysReadsSomePrompt) {
  StepTimes times;
  const LatencyGoals goals{.time_to_first_token_seconds = 2, .inter_token_seconds = 0.1};
  EXPECT_EQ(TokenBudget(times, goals, 4, 16, 2'048), 512);  // unmeasured
  for (const int64_t tokens : {10, 1'000}) times.Add(tokens, static_cast<double>(tokens) * 1e-3);
  EXPECT_NEAR(static_cast<double>(TokenBudget(times, goals, 4, 16, 2'048)), 100, 1);
  EXPECT_NEAR(static_cast<double>(TokenBudget(times, goals, 0, 16, 2'048)), 1'000, 1);
  EXPECT_EQ(TokenBudget(times, goals, 200, 16, 2'048), 216);  // slower than the goal, yet forward
  EXPECT_EQ(TokenBudget(times, goals, 0, 16, 300), 300);
}

}  // namespace
}  // namespace longrun::serving
