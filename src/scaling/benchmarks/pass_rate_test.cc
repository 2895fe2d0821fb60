#include "scaling/benchmarks/pass_rate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace longrun::scaling {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Σ over x of the probability of x passes, given one at least, times f(x).
template <class F>
double Expected(int64_t n, double p, F f) {
  double sum = 0, whole = 0;
  for (int64_t x = 1; x <= n; ++x) {
    const double log_probability = std::lgamma(n + 1.0) - std::lgamma(x + 1.0) -
                                   std::lgamma(n - x + 1.0) + x * std::log(p) +
                                   (n - x) * std::log1p(-p);
    whole += std::exp(log_probability);
    sum += std::exp(log_probability) * f(x);
  }
  return sum / whole;
}

TEST(PassRateTest, RemainingBiasIsTheBiasOverAllOutcomes) {
  for (const int64_t n : {1, 2, 10, 100, 5000}) {
    for (const double p : {0.0005, 0.01, 0.1, 0.5, 0.99}) {
      const double bias =
          Expected(n, p, [n](int64_t x) { return EstimateLogRate(n, x).neg_log; }) + std::log(p);
      EXPECT_NEAR(RemainingBias(n, p), bias, 2e-3 * std::abs(bias) + 1e-9) << n << " " << p;
    }
  }
}

TEST(PassRateTest, TheEstimateIsFarLessBiasedThanTheLogOfTheRate) {
  const int64_t n = 100;
  for (const double p : {0.08, 0.15, 0.3, 0.7}) {
    const double textbook =
        Expected(n, p, [n](int64_t x) { return -std::log(static_cast<double>(x) / n); }) +
        std::log(p);
    EXPECT_GT(textbook, 0.4 * (1 - p) / (2 * n * p));
    EXPECT_LT(std::abs(RemainingBias(n, p)), 0.02 * textbook);
  }
}

TEST(PassRateTest, TheVarianceIsThatOfTheEstimate) {
  for (const double p : {0.06, 0.15, 0.5, 0.9}) {
    const int64_t n = 100;
    const double mean = Expected(n, p, [n](int64_t x) { return EstimateLogRate(n, x).neg_log; });
    const double variance = Expected(
        n, p, [n, mean](int64_t x) { return std::pow(EstimateLogRate(n, x).neg_log - mean, 2); });
    const double told = Expected(n, p, [n](int64_t x) { return EstimateLogRate(n, x).variance; });
    EXPECT_NEAR(told, variance, 0.08 * variance) << p;
  }
}

TEST(PassRateTest, NoPassLeavesTheRateOpenUpToTheThreeOverN) {
  EXPECT_NEAR(ZeroPassUpperRate(1000), 3.0 / 1000, 1e-5);
  EXPECT_NEAR(std::pow(1 - ZeroPassUpperRate(20), 20), 0.05, 1e-12);
}

AttemptTable TwoModels() {
  AttemptTable table;
  EXPECT_TRUE(table.Add({"easy", "large", 1e20, 10, 9}).ok());
  EXPECT_TRUE(table.Add({"easy", "small", 1e18, 10, 5}).ok());
  EXPECT_TRUE(table.Add({"hard", "large", 1e20, 10, 1}).ok());
  EXPECT_TRUE(table.Add({"hard", "small", 1e18, 10, 0}).ok());
  EXPECT_TRUE(table.Add({"new", "large", 1e20, 10, 10}).ok());
  return table;
}

TEST(PassRateTest, OnlyProblemsThatEveryModelSolvedCountAndTheOthersAreListed) {
  const AttemptTable table = TwoModels();
  const PassRates rates = SummarizePassRates(table);
  EXPECT_THAT(rates.counted, ElementsAre(0));
  ASSERT_EQ(rates.censored.size(), 2);
  EXPECT_EQ(rates.censored[0].problem, "hard");
  EXPECT_THAT(rates.censored[0].unsolved_by, ElementsAre("small"));
  EXPECT_EQ(rates.censored[1].problem, "new");
  EXPECT_THAT(rates.censored[1].untried_by, ElementsAre("small"));
  ASSERT_EQ(rates.totals.size(), 2);
  EXPECT_EQ(rates.totals[0].model, "small") << "models stand by compute";
  EXPECT_EQ(rates.totals[0].zero_pass, 1);
  EXPECT_DOUBLE_EQ(rates.totals[0].pass_rate, 0.25);
  EXPECT_DOUBLE_EQ(rates.totals[1].pass_rate, (0.9 + 0.1 + 1) / 3);
}

TEST(PassRateTest, MeansAreOverTheProblemsThatCount) {
  const AttemptTable table = TwoModels();
  const std::vector<ModelRates> rates = RatesOver(table, {0});
  ASSERT_EQ(rates.size(), 2);
  EXPECT_DOUBLE_EQ(rates[0].neg_log, EstimateLogRate(10, 5).neg_log);
  EXPECT_DOUBLE_EQ(rates[0].se_attempts, std::sqrt(EstimateLogRate(10, 5).variance));
  EXPECT_DOUBLE_EQ(rates[1].pass_rate, 0.9);
  EXPECT_DOUBLE_EQ(rates[1].remaining_bias, -RemainingBias(10, 0.9));
}

TEST(PassRateTest, RowsThatCannotBeAreRefused) {
  AttemptTable table = TwoModels();
  const auto message = [&table](const AttemptRow& row) {
    return std::string(table.Add(row).message());
  };
  EXPECT_THAT(message({"x", "small", 1e18, 10, 11}), HasSubstr("11 passes in 10 attempts"));
  EXPECT_THAT(message({"x", "small", 1e18, -1, 0}), HasSubstr("in -1 attempts"));
  EXPECT_THAT(message({"x", "small", 2e18, 10, 1}), HasSubstr("a model has one compute"));
  EXPECT_THAT(message({"easy", "small", 1e18, 10, 1}), HasSubstr("add attempts and passes up"));
}

}  // namespace
}  // namespace longrun::scaling
