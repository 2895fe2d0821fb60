#include "serving/openai/rate_limits.h"

#include <cmath>
#include <string>

#include "base/random.h"
#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

constexpr Time kStart{1'000'000'000};

Time After(double seconds) { return kStart + Duration::Seconds(seconds); }

Tenant Limited(std::optional<double> requests, std::optional<double> tokens) {
  return {.name = "t", .requests_per_minute = requests, .tokens_per_minute = tokens};
}

std::string Header(const RateLimits::Admission& admission, const std::string& name) {
  for (const auto& [key, value] : admission.headers)
    if (key == name) return value;
  return "";
}

TEST(TokenBucketTest, FillsEvenlyAndNeverOverflows) {
  TokenBucket bucket(60, kStart);
  bucket.Take(60, kStart);
  EXPECT_EQ(bucket.Level(After(1)), 1);
  EXPECT_EQ(bucket.WaitSeconds(10, After(1)), 9);
  EXPECT_EQ(bucket.Level(After(1000)), 60);
  // More than it holds is asked of a full one.
  EXPECT_EQ(bucket.WaitSeconds(100, After(30)), 30);
}

TEST(TokenBucketTest, ADebtFillsFirstAndAClockThatGoesBackGivesNothing) {
  TokenBucket bucket(60, kStart);
  bucket.Take(90, kStart);
  EXPECT_EQ(bucket.Level(After(30)), 0);
  bucket.Take(0, After(30));
  EXPECT_EQ(bucket.Level(After(10)), 0);
  bucket.Take(0, After(10));
  EXPECT_EQ(bucket.Level(After(40)), 10);
  bucket.Take(-1000, After(40));  // given back
  EXPECT_EQ(bucket.Level(After(40)), 60);
}

TEST(RateLimitsTest, TenantsWithoutLimitsHaveNone) {
  RateLimits limits({Limited({}, {})}, kStart);
  for (int i = 0; i < 1000; ++i) {
    const auto admission = limits.Admit(0, 1'000'000, 1'000'000, kStart);
    EXPECT_FALSE(admission.refused);
    EXPECT_TRUE(admission.headers.empty());
  }
}

TEST(RateLimitsTest, ARefusalSaysWhenItFitsAndThenItDoes) {
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    const double per_minute = 1 + static_cast<double>(random.Below(100'000));
    RateLimits limits({Limited({}, per_minute)}, kStart);
    Time now = kStart;
    for (int i = 0; i < 20; ++i) {
      const auto prompt = static_cast<int64_t>(random.Below(static_cast<uint64_t>(per_minute)));
      const auto generated = static_cast<int64_t>(random.Below(2'000));
      const auto first = limits.Admit(0, prompt, generated, now);
      if (!first.refused) continue;
      ASSERT_TRUE(first.refused->retry_after_seconds);
      const double wait = *first.refused->retry_after_seconds;
      EXPECT_GT(wait, 0);
      EXPECT_LE(wait, 60);
      EXPECT_TRUE(limits.Admit(0, prompt, generated, now + Duration::Seconds(wait * 0.9)).refused);
      // What the client is told is rounded up to milliseconds.
      now = now + Duration::Millis(static_cast<int64_t>(std::ceil(wait * 1e3)));
      EXPECT_FALSE(limits.Admit(0, prompt, generated, now).refused) << per_minute << " " << wait;
    }
  }
}

TEST(RateLimitsTest, ManyAtOnceCannotOutrunTheLimit) {
  RateLimits limits({Limited({}, 100)}, kStart);
  EXPECT_FALSE(limits.Admit(0, 10, 40, kStart).refused);
  EXPECT_FALSE(limits.Admit(0, 10, 40, kStart).refused);
  EXPECT_TRUE(limits.Admit(0, 0, 1, kStart).refused);
  EXPECT_EQ(limits.refused_total(), 1);
  limits.Settle(0, 50, 12, kStart);
  const auto next = limits.Admit(0, 10, 28, kStart);
  EXPECT_FALSE(next.refused);
  EXPECT_EQ(next.charged_tokens, 38);
}

TEST(RateLimitsTest, AskingForMoreThanTheMinuteHoldsWaitsForAFullOneAndOwesTheRest) {
  RateLimits limits({Limited({}, 100)}, kStart);
  const auto huge = limits.Admit(0, 10, 1'000'000, kStart);
  ASSERT_FALSE(huge.refused);
  EXPECT_EQ(huge.charged_tokens, 100);
  limits.Settle(0, huge.charged_tokens, 160, kStart);  // a debt of 60
  EXPECT_TRUE(limits.Admit(0, 1, 0, After(36)).refused);
  EXPECT_FALSE(limits.Admit(0, 1, 0, After(37)).refused);
}

TEST(RateLimitsTest, CountsRequestsApartAndShowsWhatIsLeft) {
  RateLimits limits({Limited(2, 100), Limited(0.5, {})}, kStart);
  const auto first = limits.Admit(0, 10, 20, kStart);
  EXPECT_EQ(Header(first, "x-ratelimit-limit-requests"), "2");
  EXPECT_EQ(Header(first, "x-ratelimit-remaining-requests"), "1");
  EXPECT_EQ(Header(first, "x-ratelimit-limit-tokens"), "100");
  EXPECT_EQ(Header(first, "x-ratelimit-remaining-tokens"), "70");
  EXPECT_EQ(Header(first, "x-ratelimit-reset-requests"), "30.000s");
  // Refused for its tokens, it costs no request.
  EXPECT_EQ(limits.Admit(0, 100, 0, kStart).refused->type, "tokens");
  EXPECT_FALSE(limits.Admit(0, 1, 1, kStart).refused);
  const auto third = limits.Admit(0, 1, 1, kStart);
  ASSERT_TRUE(third.refused);
  EXPECT_EQ(third.refused->type, "requests");
  EXPECT_EQ(third.refused->status, 429);
  EXPECT_EQ(third.refused->retry_after_seconds, 30);
  // One in two minutes.
  EXPECT_FALSE(limits.Admit(1, 1, 1, kStart).refused);
  EXPECT_TRUE(limits.Admit(1, 1, 1, After(59)).refused);
}

// OpenAI's clients take no Retry-After over a minute: they would be back at once.
TEST(ApiErrorTest, WaitsThatClientsDoNotWaitAreNotToBeTriedAgain) {
  const auto should_retry = [](double seconds) {
    for (const auto& [name, value] :
         ToResponse({.status = 429, .retry_after_seconds = seconds}).headers)
      if (name == "x-should-retry") return value;
    return std::string();
  };
  EXPECT_EQ(should_retry(60), "");
  EXPECT_EQ(should_retry(61), "false");
}

}  // namespace
}  // namespace longrun::serving
