#include "scaling/benchmarks/decay_law.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

std::vector<DecayPoint> Drawn(double alpha, double k, double scatter, double relative_error,
                              int models, Random& random) {
  std::vector<DecayPoint> points;
  for (int i = 0; i < models; ++i) {
    const double compute = 1e18 * std::pow(10, 3.0 * i / (models - 1));
    const double log_value = std::log(alpha) - k * std::log(compute) + scatter * random.Normal() +
                             relative_error * random.Normal();
    points.push_back({compute, std::exp(log_value), relative_error * std::exp(log_value)});
  }
  return points;
}

TEST(DecayLawTest, ExactPointsGiveTheirLaw) {
  Random random(1);
  const DecayLaw law = DecayLaw::Fit(Drawn(5000, 0.2, 0, 0, 5, random)).value();
  EXPECT_NEAR(law.alpha(), 5000, 1e-6 * 5000);
  EXPECT_NEAR(law.k(), 0.2, 1e-9);
  EXPECT_NEAR(law.tau(), 0, 1e-6);
  EXPECT_NEAR(law.At(1e24), 5000 * std::pow(1e24, -0.2), 1e-6);
  EXPECT_EQ(law.largest_compute_flop(), 1e21);
}

// The 80 % interval of a run 1,000 times larger than the largest holds its value in 80 % of draws:
// with sampling error alone (the floor under the width makes it a little more), and with scatter
// beyond it.
TEST(DecayLawTest, IntervalsHoldAsOftenAsTheySay) {
  for (const double scatter : {0.0, 0.05}) {
    Random random(7);
    int law_held = 0, k_held = 0;
    const int draws = 2000;
    for (int i = 0; i < draws; ++i) {
      const DecayLaw law = DecayLaw::Fit(Drawn(5000, 0.2, scatter, 0.02, 6, random)).value();
      const double reached = 5000 * std::pow(1e24, -0.2) * std::exp(scatter * random.Normal());
      law_held += law.PredictionInterval(1e24, 0.8).Contains(reached);
      k_held += law.KInterval(0.8).Contains(0.2);
    }
    EXPECT_GT(law_held, 0.77 * draws) << scatter;
    EXPECT_LT(law_held, 0.90 * draws) << scatter;
    EXPECT_GT(k_held, 0.77 * draws) << scatter;
    EXPECT_LT(k_held, 0.90 * draws) << scatter;
  }
}

TEST(DecayLawTest, ScatterBeyondSamplingErrorIsFound) {
  Random random(3);
  const DecayLaw law = DecayLaw::Fit(Drawn(5000, 0.2, 0.1, 0.01, 200, random)).value();
  EXPECT_NEAR(law.tau(), 0.1, 0.015);
}

TEST(DecayLawTest, WhatNoPowerLawCanGoThroughIsRefused) {
  EXPECT_THAT(std::string(DecayLaw::Fit({{1e18, 2, 0.1}, {1e19, 1, 0.1}}).status().message()),
              HasSubstr("need 3 at least"));
  EXPECT_THAT(
      std::string(
          DecayLaw::Fit({{1e18, 2, 0.1}, {1e18, 2, 0.1}, {1e18, 1, 0.1}}).status().message()),
      HasSubstr("1 different computes"));
  EXPECT_THAT(
      std::string(
          DecayLaw::Fit({{1e18, 2, 0.1}, {1e19, 0, 0.1}, {1e20, 1, 0.1}}).status().message()),
      HasSubstr("positive ones alone"));
}

}  // namespace
}  // namespace longrun::scaling
