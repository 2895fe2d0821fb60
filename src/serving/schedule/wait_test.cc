#include "serving/schedule/wait.h"

#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

const Waiting kOne = {.priority = 0, .tenant = "a", .requests = 1, .tokens = 10, .places = 1};

Backlog Measured() {
  Backlog backlog;
  backlog.free_blocks = 1'000;
  backlog.prompt_tokens_per_second = 500;
  backlog.sequences_per_second = 2;
  return backlog;
}

TEST(AheadOf, HigherPrioritiesGoFirstAndTenantsTakeTurns) {
  Backlog backlog;
  backlog.Add({.priority = 5, .tenant = "a", .requests = 3, .tokens = 300, .places = 6});
  backlog.Add({.priority = 0, .tenant = "a", .requests = 20, .tokens = 900, .places = 20});
  backlog.Add({.priority = 0, .tenant = "b", .requests = 1, .tokens = 1, .places = 0});
  backlog.Add({.priority = 0, .tenant = "b", .requests = 1, .tokens = 49, .places = 2});
  backlog.Add({.priority = -1, .tenant = "c", .requests = 90, .tokens = 9'000, .places = 90});
  EXPECT_EQ(backlog.waiting.size(), 4u);
  EXPECT_EQ(backlog.requests(), 115);
  const auto ahead = [&](int32_t priority, const char* tenant) {
    Waiting newcomer = kOne;
    newcomer.priority = priority;
    newcomer.tenant = tenant;
    return AheadOf(newcomer, backlog);
  };
  EXPECT_EQ(ahead(9, "c").requests, 0);
  EXPECT_EQ(ahead(5, "b").requests, 1);  // three of another's, of which one before its own first
  EXPECT_EQ(ahead(5, "b").tokens, 10);
  EXPECT_EQ(ahead(5, "a").requests, 3);
  EXPECT_EQ(ahead(0, "b").requests, 3 + 2 + 3);
  EXPECT_EQ(ahead(0, "b").tokens, 300 + 50 + 60);
  EXPECT_EQ(ahead(0, "b").places, 6 + 2 + 3);
  EXPECT_EQ(ahead(0, "a").requests, 3 + 20 + 2);
  EXPECT_EQ(ahead(0, "d").requests, 3 + 1 + 1);
  EXPECT_EQ(ahead(-2, "d").requests, 115);
}

TEST(MayWait, OneTenantLeavesRoomForOthersAndForHigherPriorities) {
  Backlog backlog;
  backlog.Add({.priority = 0, .tenant = "a", .requests = 10});
  const auto may = [&](int32_t priority, const char* tenant) {
    return MayWait({.priority = priority, .tenant = tenant, .requests = 1}, backlog, 10);
  };
  EXPECT_FALSE(may(0, "a"));
  EXPECT_FALSE(may(1, "a"));  // as much of one tenant as there may be
  EXPECT_TRUE(may(0, "b"));
  backlog.Add({.priority = 0, .tenant = "b", .requests = 4});
  EXPECT_TRUE(may(0, "b"));
  backlog.Add({.priority = 0, .tenant = "b", .requests = 1});
  EXPECT_FALSE(may(0, "b"));  // half each
  EXPECT_TRUE(may(1, "b"));
  EXPECT_TRUE(may(0, "c"));
  backlog.Add({.priority = 1, .tenant = "c", .requests = 5});
  EXPECT_FALSE(may(3, "d"));  // twice as many in all
}

TEST(Backlog, HasAtMostSoManyLines) {
  Backlog backlog;
  for (int i = 0; i < 1'000; ++i) backlog.Add({.tenant = std::to_string(i), .requests = 1});
  EXPECT_EQ(backlog.waiting.size(), Backlog::kMostLines);
  EXPECT_EQ(backlog.requests(), 1'000);
}

TEST(PredictedWait, NobodyIsRefusedOnAGuess) {
  Backlog backlog;
  backlog.Add({.requests = 1'000, .tokens = 1'000'000, .places = 1'000});
  EXPECT_EQ(PredictedWaitSeconds(kOne, backlog), 0);
}

TEST(PredictedWait, IsTheLongerOfReadingPromptsAndOfWaitingForPlaces) {
  Backlog backlog = Measured();
  backlog.running_tokens = 100;
  backlog.Add({.tenant = "a", .requests = 9, .tokens = 900, .places = 9});
  EXPECT_DOUBLE_EQ(PredictedWaitSeconds(kOne, backlog), 5);  // ten must end, two a second
  backlog.free_slots = 10;
  EXPECT_DOUBLE_EQ(PredictedWaitSeconds(kOne, backlog), 2);
  Waiting other = kOne;
  other.tenant = "b";
  EXPECT_DOUBLE_EQ(PredictedWaitSeconds(other, backlog), 0.22);
}

TEST(PredictedWait, PlacesAreForThoseWhoGoOnAndAsLongAsThoseWhoWait) {
  Backlog backlog = Measured();
  backlog.prompt_tokens_per_second = 0;
  backlog.sequences_per_second = 1;
  backlog.free_slots = 10;
  backlog.free_blocks = 100;
  backlog.block_tokens = 16;
  Waiting others{
      .tenant = "a", .requests = 1'000, .tokens = 20'000};  // they end with their prompts
  backlog.waiting = {others};
  EXPECT_EQ(PredictedWaitSeconds(kOne, backlog), 0);
  others.places = 12;
  backlog.waiting = {others};
  EXPECT_DOUBLE_EQ(PredictedWaitSeconds(kOne, backlog), 3);
  others.tokens = 400'000;  // 25 blocks each: four have room
  backlog.waiting = {others};
  EXPECT_DOUBLE_EQ(PredictedWaitSeconds(kOne, backlog), 9);
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
