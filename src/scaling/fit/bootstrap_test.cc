#include "scaling/fit/bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "scaling/runs/chinchilla_points_for_tests.h"

namespace longrun::scaling {
namespace {

using Kind = BootstrapOptions::Kind;

// `runs` runs of `each` checkpoints: all of a run share its luck.
Points Checkpoints(int runs, int each, double between, double within) {
  Random random(4);
  const Vector natural{{1600, -.165, 1.74}};
  Points points;
  for (int i = 0; i < runs; ++i) {
    const double luck = between * random.Normal();
    for (int j = 0; j < each; ++j) {
      Point& p = points.emplace_back();
      p.compute = 1e17 * std::pow(10, 4.0 * i / runs) * std::pow(1.05, j);
      p.loss = PowerComputeLaw().Loss(natural, p) * std::exp(luck + within * random.Normal());
      p.run = i;
    }
  }
  return points;
}

double ErrorOfB(const Points& points, Kind kind) {
  const Fit fit = FitLaw(PowerComputeLaw(), points, {Objective::Kind::kHuber, 0.1}).value();
  BootstrapOptions options;
  options.kind = kind;
  options.resamples = 400;
  return StandardDeviation(Spread(Resample(fit, points, options).value(), 1));
}

TEST(BootstrapTest, TheSameSeedGivesTheSameBitsOnAnyNumberOfThreads) {
  const Points points = Checkpoints(10, 3, 0.01, 0.01);
  const Fit fit = FitLaw(PowerComputeLaw(), points, {}).value();
  for (const Kind kind : {Kind::kCases, Kind::kClusters, Kind::kResiduals}) {
    BootstrapOptions options;
    options.kind = kind;
    options.resamples = 50;
    const Bootstrap one = Resample(fit, points, options).value();
    options.threads = 3;
    const Bootstrap three = Resample(fit, points, options).value();
    options.seed = 2;
    const Bootstrap other = Resample(fit, points, options).value();
    for (int i = 0; i < 50; ++i) EXPECT_EQ(one.parameters[i], three.parameters[i]);
    EXPECT_NE(one.parameters[0], other.parameters[0]);
  }
}

TEST(BootstrapTest, RunsResampledWholeShowThatTheirCheckpointsAreNotIndependent) {
  const Points points = Checkpoints(20, 8, 0.02, 0.001);
  EXPECT_GT(ErrorOfB(points, Kind::kClusters), 1.5 * ErrorOfB(points, Kind::kCases));
}

TEST(BootstrapTest, WithoutClustersAllThreeAgree) {
  const Points points = Checkpoints(120, 1, 0.01, 0);
  const double cases = ErrorOfB(points, Kind::kCases);
  EXPECT_NEAR(ErrorOfB(points, Kind::kResiduals) / cases, 1, 0.25);
  EXPECT_NEAR(ErrorOfB(points, Kind::kClusters) / cases, 1, 0.25);
  // And with the curvature at the optimum.
  const Fit fit = FitLaw(PowerComputeLaw(), points, {Objective::Kind::kHuber, 0.1}).value();
  EXPECT_NEAR(fit.identifiability.standard_errors[1] / cases, 1, 0.25);
}

TEST(BootstrapTest, TooFewRunsAreNotResampledAsWholes) {
  const Points points = Checkpoints(3, 8, 0.01, 0.01);
  const Fit fit = FitLaw(PowerComputeLaw(), points, {}).value();
  BootstrapOptions options;
  options.kind = Kind::kClusters;
  EXPECT_FALSE(Resample(fit, points, options).ok());
}

TEST(BootstrapTest, QuantilesAreLinearBetweenValues) {
  EXPECT_DOUBLE_EQ(Quantile({1, 2, 3, 4, 5}, 0.5), 3);
  EXPECT_DOUBLE_EQ(Quantile({1, 2}, 0.25), 1.25);
  EXPECT_DOUBLE_EQ(Quantile({7}, 0.9), 7);
  const std::vector<Interval> intervals = Intervals({5, 1, 2, 4, 3, kUnknown});
  EXPECT_DOUBLE_EQ(intervals[0].low, 2);
  EXPECT_DOUBLE_EQ(intervals[0].high, 4);
}

// Besiroglu et al. 2024: standard errors of 4,000 case resamples.
TEST(BootstrapTest, StandardErrorsOfTheReplication) {
  const Points all = ChinchillaPoints();
  if (all.empty()) GTEST_SKIP() << "no scaling/chinchilla_figure4_points.csv at hand";
  const Points points = WithoutHighest(all, 5);
  const Fit fit = FitLaw(ChinchillaLaw(), points, {}).value();
  BootstrapOptions options;
  options.threads = 2;
  const Bootstrap bootstrap = Resample(fit, points, options).value();
  const std::vector<double> published{124.52, 1293.28, .02566, .01540, .02060};
  for (int i = 0; i < 5; ++i) {
    EXPECT_NEAR(StandardDeviation(Spread(bootstrap, i)) / published[i], 1, 0.05)
        << fit.law->parameters()[i].name;
  }
  std::vector<double> share;
  for (const Vector& p : bootstrap.parameters) share.push_back(p[4] / (p[3] + p[4]));
  EXPECT_NEAR(StandardDeviation(share), .020, .001);
}

}  // namespace
}  // namespace longrun::scaling
