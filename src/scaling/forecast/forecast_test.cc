#include "scaling/forecast/forecast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scaling/forecast/calibration.h"
#include "scaling/runs/synthetic_runs_for_tests.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Forecast& Known() {
  static const Forecast forecast = MakeForecast(ChinchillaLaw(), KnownLadder(0.004, 1), {}).value();
  return forecast;
}

Point Asked(double params, double tokens, double compute = kUnknown) {
  Point point;
  point.params = params;
  point.tokens = tokens;
  point.compute = compute;
  return point;
}

TEST(ForecastTest, IntervalsAreNestedRoundTheLossAndHoldTheTruth) {
  const LossPrediction prediction = Predict(Known(), Asked(1e10, 2e11)).value();
  ASSERT_EQ(prediction.ranges.size(), 3);
  EXPECT_TRUE(prediction.ranges[0].Contains(prediction.loss));
  for (size_t i = 1; i < 3; ++i) {
    EXPECT_LT(prediction.ranges[i].lo, prediction.ranges[i - 1].lo);
    EXPECT_GT(prediction.ranges[i].hi, prediction.ranges[i - 1].hi);
  }
  EXPECT_TRUE(prediction.ranges[2].Contains(KnownLoss(1e10, 2e11)));
  EXPECT_NEAR(prediction.orders_beyond, std::log10(1.2e22 / 1e21), 1e-9);
  EXPECT_THAT(prediction.warnings, IsEmpty());
}

TEST(ForecastTest, TheFurtherTheLessSure) {
  double last = 0;
  for (const double compute : {1e20, 1e22, 1e23, 1e24}) {
    const Point run = KnownRun(compute, 20, 0);
    const LossSpread spread = SpreadAt(Known(), run);
    EXPECT_GT(spread.total(), last);
    last = spread.total();
  }
}

TEST(ForecastTest, NoiseIsThatOfOneRun) { EXPECT_NEAR(Known().noise, 0.004, 0.0015); }

TEST(ForecastTest, NoRunIsForetoldBetterThanRunsRepeat) {
  Forecast lucky = Known();
  for (int i = 0; i < 1000; ++i) lucky.scores.Add(0.01, 1);
  const LossSpread spread = SpreadAt(lucky, KnownRun(1e22, 20, 0));
  EXPECT_LT(lucky.scores.Quantile(0.8) * spread.total(), spread.noise);
  EXPECT_NEAR(HalfWidth(lucky, spread, 0.8), 1.2815515655 * spread.noise, 1e-9);
  EXPECT_NEAR(ProbabilityBeyond(lucky, spread, 1.2815515655 * spread.noise), 0.2, 1e-6);
}

TEST(ForecastTest, ComputeAloneMeansTheOptimalRun) {
  const LossPrediction prediction = Predict(Known(), Asked(kUnknown, kUnknown, 1e23)).value();
  EXPECT_NEAR(6 * prediction.point.params * prediction.point.tokens, 1e23, 1e18);
  const Point fewer = KnownRun(1e23, prediction.point.tokens / prediction.point.params / 4, 0);
  EXPECT_LT(prediction.loss, Known().law->Loss(Known().parameters, fewer));
}

TEST(ForecastTest, WhatLiesOutsideTheDomainIsRefused) {
  const auto message = [](const Point& point) {
    return std::string(Predict(Known(), point).status().message());
  };
  EXPECT_THAT(message(Asked(1e10, kUnknown)), HasSubstr("needs --tokens"));
  EXPECT_THAT(message(Asked(-1e10, 1e11)), HasSubstr("above 0"));
  EXPECT_THAT(message(Asked(1e10, 0)), HasSubstr("above 0"));
  EXPECT_THAT(message(Asked(1e12, 2e13)), HasSubstr("beyond 10,000 times"));
  EXPECT_THAT(message(Asked(1e6, 2e7)), HasSubstr("below the smallest run"));
  EXPECT_THAT(message(Asked(1e8, 1e12)), HasSubstr("tokens per parameter"));
  EXPECT_TRUE(Predict(Known(), KnownRun(9.9e24, 20, 0)).ok());
  EXPECT_THAT(Predict(Known(), KnownRun(9.9e24, 20, 0)).value().warnings[0],
              HasSubstr("times the largest run"));
}

TEST(ForecastTest, ProbabilitiesAgreeWithTheIntervals) {
  const LossPrediction prediction = Predict(Known(), Asked(1e10, 2e11)).value();
  EXPECT_NEAR(ProbabilityBelow(Known(), prediction, prediction.loss), 0.5, 1e-9);
  for (size_t i = 0; i < 3; ++i) {
    const double tail = (1 - kForecastLevels[i]) / 2;
    // The scores are steps, of a hundredth or two here.
    EXPECT_NEAR(ProbabilityBelow(Known(), prediction, prediction.ranges[i].lo), tail, 0.02);
    EXPECT_NEAR(ProbabilityBelow(Known(), prediction, prediction.ranges[i].hi), 1 - tail, 0.02);
  }
}

}  // namespace
}  // namespace longrun::scaling
