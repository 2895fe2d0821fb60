#include "scaling/forecast/backtest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scaling/runs/chinchilla_points_for_tests.h"
#include "scaling/runs/points_csv.h"
#include "scaling/runs/synthetic_runs_for_tests.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

TEST(BacktestTest, CountsWhatWasHeld) {
  Backtest backtest;
  BacktestCut cut;
  for (const double error : {0.01, -0.02, 0.05}) {
    BacktestRun run;
    run.error = error;
    run.held = {false, std::abs(error) < 0.03, true};
    cut.runs.push_back(run);
  }
  backtest.cuts = {cut, BacktestCut{}};
  EXPECT_DOUBLE_EQ(backtest.Coverage(0), 0);
  EXPECT_DOUBLE_EQ(backtest.Coverage(1), 2.0 / 3);
  EXPECT_DOUBLE_EQ(backtest.Coverage(2), 1);
  EXPECT_DOUBLE_EQ(backtest.MedianError(), 0.02);
  EXPECT_DOUBLE_EQ(backtest.LargestError(), 0.05) << "the last run of a cut is the largest";
  EXPECT_NEAR(cut.MeanError(), 0.04 / 3, 1e-15);
}

TEST(BacktestTest, ForetellsTheRunsAboveEachCutFromThoseBelow) {
  const Points points = KnownLadder(0.004, 2);
  const Backtest backtest =
      RunBacktest(ChinchillaLaw(), points, {1.01e20, 3.2e20}, {.resamples = 100}).value();
  ASSERT_EQ(backtest.cuts.size(), 2);
  EXPECT_EQ(backtest.cuts[0].fitted, 30);
  ASSERT_EQ(backtest.cuts[0].refused, "");
  EXPECT_EQ(backtest.cuts[0].runs.size(), 12);
  EXPECT_EQ(backtest.cuts[1].runs.size(), 6);
  EXPECT_EQ(backtest.forecasts, 18);
  EXPECT_LT(backtest.MedianError(), 0.01);
  EXPECT_GT(backtest.Coverage(2), 0.8);
  EXPECT_NEAR(backtest.cuts[1].runs.back().orders_beyond, 0.5, 1e-9);
}

TEST(BacktestTest, AHeldOutRunDoesNotReachItsForecast) {
  Points points = KnownLadder(0.004, 2);
  const CalibrationOptions options{.resamples = 100};
  const Backtest before = RunBacktest(ChinchillaLaw(), points, {3.2e20}, options).value();
  for (Point& point : points) {
    if (point.compute > 3.2e20) point.loss *= 2;
  }
  const Backtest after = RunBacktest(ChinchillaLaw(), points, {3.2e20}, options).value();
  for (size_t i = 0; i < before.cuts[0].runs.size(); ++i) {
    EXPECT_EQ(before.cuts[0].runs[i].foretold, after.cuts[0].runs[i].foretold);
    EXPECT_EQ(before.cuts[0].runs[i].half_width80, after.cuts[0].runs[i].half_width80);
    EXPECT_FALSE(after.cuts[0].runs[i].held[2]);
  }
}

TEST(BacktestTest, CutsThatCannotBeFittedSayWhy) {
  const Points points = KnownLadder(0.004, 2);
  const Backtest backtest =
      RunBacktest(ChinchillaLaw(), points, {1.01e18}, {.resamples = 50}).value();
  ASSERT_EQ(backtest.cuts.size(), 1);
  EXPECT_THAT(backtest.cuts[0].refused, HasSubstr("cannot"));
  EXPECT_EQ(backtest.forecasts, 0);
  EXPECT_THAT(std::string(RunBacktest(ChinchillaLaw(), points, {1e30}, {}).status().message()),
              HasSubstr("no cut leaves"));
}

// Fitting C ≤ 1e21 FLOP and predicting the 23 runs above; a bar of about 4 % is useful.
TEST(BacktestTest, TheLargestPublishedRunsAreForetoldWithinAFewPerCent) {
  Points points = ChinchillaPoints();
  if (points.empty()) GTEST_SKIP() << "chinchilla_figure4_points.csv is not there";
  DropRules rules;
  rules.highest = 5;
  ASSERT_TRUE(Drop(rules, points).ok());
  const Backtest backtest =
      RunBacktest(ChinchillaLaw(), points, {1e21}, {.resamples = 100}).value();
  ASSERT_EQ(backtest.forecasts, 23);
  EXPECT_LT(backtest.MedianError(), 0.015);
  EXPECT_LT(backtest.LargestError(), 0.04);
  EXPECT_GE(backtest.Coverage(1), 0.5);
}

}  // namespace
}  // namespace longrun::scaling
