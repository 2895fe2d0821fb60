#include "scaling/forecast/curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scaling/forecast/calibration.h"
#include "scaling/runs/synthetic_runs_for_tests.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

const Forecast& Known() {
  static const Forecast forecast = MakeForecast(ChinchillaLaw(), KnownLadder(0.004, 1), {}).value();
  return forecast;
}

// A run whose loss lies above the law by a gap that closes as the learning rate comes down.
Curve Training(const Point& run, double log_offset, double to_fraction, Random& random) {
  Curve curve;
  for (double f = 0.002; f <= to_fraction + 1e-9; f += 0.002) {
    const double gap = 0.06 * (1 - f);
    curve.push_back({f * run.tokens, KnownLoss(run.params, f * run.tokens) *
                                         std::exp(gap + log_offset + 0.01 * random.Normal())});
  }
  return curve;
}

CurveShape Learned() {
  Random random(5);
  std::vector<RunCurve> runs;
  for (const double compute : {1e19, 3e19, 1e20, 3e20, 1e21}) {
    const Point run = KnownRun(compute, 20, 0);
    runs.push_back({run, Training(run, 0.004 * random.Normal(), 1, random)});
  }
  return LearnShape(Known(), runs).value();
}

TEST(CurveTest, TheGapOfUnfinishedRunsIsLearnedFromSmallOnes) {
  const CurveShape shape = Learned();
  EXPECT_EQ(shape.runs, 5);
  EXPECT_NEAR(shape.At(0.5).gap, 0.03, 0.006);
  EXPECT_NEAR(shape.At(1).gap, 0.0, 0.006);
  EXPECT_LT(shape.At(0.5).deviation, 0.012);
}

TEST(CurveTest, ARunIsFoundOnAboveOrBelowTheLineBeforeItsEnd) {
  const CurveShape shape = Learned();
  const Point target = KnownRun(1e22, 20, 0);
  const auto check = [&](double offset, double fraction) {
    Random random(9);
    return CheckCurve(Known(), target, shape, Training(target, offset, fraction, random)).value();
  };
  for (const double fraction : {0.2, 0.6, 1.0}) {
    EXPECT_EQ(check(0, fraction).verdict, Verdict::kOnTheLine) << fraction;
    EXPECT_EQ(check(0.05, fraction).verdict, Verdict::kAbove) << fraction;
    EXPECT_EQ(check(-0.05, fraction).verdict, Verdict::kBelow) << fraction;
    EXPECT_LT(check(0.05, fraction).probability, 0.1);
    EXPECT_GT(check(0, fraction).probability, 0.2);
    EXPECT_NEAR(check(0, fraction).fraction, fraction, 0.01);
  }
}

TEST(CurveTest, WithoutAShapeAnUnfinishedRunIsNeverCalledAboveTheLine) {
  Random random(9);
  const Point target = KnownRun(1e22, 20, 0);
  const auto verdict = [&](double offset, double fraction) {
    return CheckCurve(Known(), target, std::nullopt, Training(target, offset, fraction, random))
        .value()
        .verdict;
  };
  EXPECT_EQ(verdict(0, 0.5), Verdict::kCannotTell);
  EXPECT_EQ(verdict(0.1, 0.5), Verdict::kCannotTell);
  EXPECT_EQ(verdict(-0.1, 0.5), Verdict::kBelow);
  EXPECT_EQ(verdict(0, 1), Verdict::kOnTheLine);
  EXPECT_EQ(verdict(0.08, 1), Verdict::kAbove);
}

TEST(CurveTest, TheEndIsAveragedOverATwentieth) {
  Curve curve;
  for (int i = 1; i <= 100; ++i) curve.push_back({i * 1.0, i <= 95 ? 9.0 : 2.0 + 0.1 * (i % 2)});
  const SmoothedLoss end = SmoothedEnd(UpTo(curve, 100));
  EXPECT_NEAR(end.loss, (9.0 + 3 * 2.0 + 2 * 2.1) / 6, 0.1) << "95 to 100";
  EXPECT_NEAR(end.tokens, 97.5, 1e-9);
  EXPECT_GT(end.relative_error, 0);
  EXPECT_EQ(UpTo(curve, 10.5).size(), 10);
}

TEST(CurveTest, ALawOfTheComputeAloneJudgesBySharesOfTheRun) {
  Points points;
  Random random(4);
  for (int i = 0; i < 30; ++i) {
    Point& point = points.emplace_back();
    point.compute = std::pow(10, 18 + 0.1 * i);
    point.loss = (1.7 + 900 * std::pow(point.compute, -0.15)) * std::exp(0.003 * random.Normal());
  }
  const Forecast forecast = MakeForecast(PowerComputeLaw(), points, {}).value();
  Point target;
  target.compute = 1e22;
  const double expected = 1.7 + 900 * std::pow(1e22, -0.15);
  const auto verdict = [&](double loss) {
    return CheckCurve(forecast, target, std::nullopt, {{1, loss}}).value().verdict;
  };
  EXPECT_EQ(verdict(expected), Verdict::kOnTheLine);
  EXPECT_EQ(verdict(1.05 * expected), Verdict::kAbove);
}

TEST(CurveTest, WhatCannotBeJudgedIsRefused) {
  const Point target = KnownRun(1e22, 20, 0);
  EXPECT_THAT(std::string(CheckCurve(Known(), target, std::nullopt, {}).status().message()),
              HasSubstr("no losses yet"));
  const Curve other{{1.2 * target.tokens, 2.5}};
  EXPECT_THAT(std::string(CheckCurve(Known(), target, std::nullopt, other).status().message()),
              HasSubstr("another run?"));
  const Point run = KnownRun(1e20, 20, 0);
  Random random(2);
  EXPECT_THAT(std::string(LearnShape(Known(), {{run, Training(run, 0, 0.4, random)},
                                               {run, Training(run, 0, 1, random)}})
                              .status()
                              .message()),
              HasSubstr("1 of 2 curves"));
}

}  // namespace
}  // namespace longrun::scaling
