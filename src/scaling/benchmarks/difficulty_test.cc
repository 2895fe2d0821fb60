#include "scaling/benchmarks/difficulty.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/random.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

constexpr double kK = 0.15;

// A benchmark whose truth is known: −log p of problem i at compute C is h_i·(C/1e18)^(−k), h
// spread over an order of magnitude.
struct Benchmark {
  std::vector<double> hardness;
  AttemptTable table;
};

double TrueNegLog(double hardness, double compute) {
  return hardness * std::pow(compute / 1e18, -kK);
}

Benchmark Draw(int problems, int64_t attempts, uint64_t seed) {
  Benchmark benchmark;
  Random random(seed);
  for (int i = 0; i < problems; ++i) {
    benchmark.hardness.push_back(0.35 * std::pow(10, random.Uniform()));
  }
  for (int m = 0; m < 6; ++m) {
    const double compute = 1e18 * std::pow(10, 0.5 * m);
    for (int i = 0; i < problems; ++i) {
      const double p = std::exp(-TrueNegLog(benchmark.hardness[i], compute));
      int64_t passes = 0;
      for (int64_t a = 0; a < attempts; ++a) passes += random.Chance(p);
      EXPECT_TRUE(benchmark.table
                      .Add({absl::StrCat("p", i), absl::StrCat("m", m), compute, attempts, passes})
                      .ok());
    }
  }
  return benchmark;
}

TEST(DifficultyTest, TheLawOfAKnownBenchmarkIsFoundAndExtrapolates) {
  int held = 0, draws = 60;
  double error = 0;
  for (int i = 0; i < draws; ++i) {
    const Benchmark benchmark = Draw(60, 200, 100 + i);
    const PassRates rates = SummarizePassRates(benchmark.table);
    const ProblemGroup whole = WholeGroup(benchmark.table, rates);
    ASSERT_TRUE(whole.law.has_value());
    EXPECT_EQ(whole.distrust, "");
    double truth = 0;
    for (const size_t problem : whole.problems) {
      truth += TrueNegLog(benchmark.hardness[problem], 1e24) / whole.problems.size();
    }
    const RatePrediction prediction = whole.Predict(1e24, {0.8});
    held += prediction.neg_logs[0].Contains(truth);
    error += (prediction.neg_log / truth - 1) / draws;
  }
  EXPECT_NEAR(error, 0, 0.01);
  EXPECT_GE(held, 0.70 * draws);
  EXPECT_LE(held, 0.97 * draws) << "never scaled down: wider than it need be here";
}

TEST(DifficultyTest, BucketsForetellThePassRatesOfALargerModel) {
  const Benchmark benchmark = Draw(300, 400, 5);
  const PassRates rates = SummarizePassRates(benchmark.table);
  const std::vector<ProblemGroup> buckets = BucketByDifficulty(benchmark.table, rates, 5);
  ASSERT_EQ(buckets.size(), 5);
  size_t problems = 0;
  for (size_t b = 0; b < buckets.size(); ++b) {
    const ProblemGroup& bucket = buckets[b];
    problems += bucket.problems.size();
    if (b > 0) {
      EXPECT_GE(bucket.easiest, buckets[b - 1].hardest);
    }
    double truth = 0;
    for (const size_t problem : bucket.problems) {
      truth += std::exp(-TrueNegLog(benchmark.hardness[problem], 1e23)) / bucket.problems.size();
    }
    EXPECT_NEAR(bucket.Predict(1e23, {0.8}).pass_rate, truth, 0.01) << b;
  }
  EXPECT_EQ(problems, rates.counted.size());
}

// exp(−E[−log p]) is far below E[p] where problems differ; the translation knows how they do.
TEST(DifficultyTest, TheMeanOfRatesIsNotTheRateOfTheMean) {
  const Benchmark benchmark = Draw(300, 400, 6);
  const ProblemGroup whole = WholeGroup(benchmark.table, SummarizePassRates(benchmark.table));
  for (const ModelRates& model : whole.models) {
    EXPECT_NEAR(whole.PassRateAt(model.neg_log), model.pass_rate, 0.01);
  }
  EXPECT_GT(whole.models[0].pass_rate, std::exp(-whole.models[0].neg_log) + 0.05);
}

AttemptTable Flat(const std::vector<int64_t>& passes) {
  AttemptTable table;
  for (size_t m = 0; m < passes.size(); ++m) {
    EXPECT_TRUE(table.Add({"p", absl::StrCat("m", m), 1e18 * std::pow(10, m), 10, passes[m]}).ok());
  }
  return table;
}

TEST(DifficultyTest, LawsThatTheDataDoNotShowAreNotTrusted) {
  const auto distrust = [](const AttemptTable& table) {
    return WholeGroup(table, SummarizePassRates(table)).distrust;
  };
  EXPECT_THAT(distrust(Flat({5, 5, 5, 5})), HasSubstr("could as well be 0"));
  EXPECT_THAT(distrust(Flat({5, 7})), HasSubstr("need 3 at least"));
  EXPECT_THAT(distrust(Flat({5, 7, 10})), HasSubstr("m2 solves every problem at every attempt"));
  EXPECT_EQ(BucketByDifficulty(Flat({5, 7, 9}), SummarizePassRates(Flat({5, 7, 9})), 5).size(), 1)
      << "no more buckets than problems";
}

}  // namespace
}  // namespace longrun::scaling
