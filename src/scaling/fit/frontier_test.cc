#include "scaling/fit/frontier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "scaling/laws/law.h"
#include "scaling/runs/chinchilla_points_for_tests.h"

namespace longrun::scaling {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

const Vector& Published() {
  static const Vector natural{{482.006, 2085.43, 1.81686, .34781, .36585}};
  return natural;
}

// Sizes around the best at each compute; `shift` puts them off its centre, in ln N.
Points Grid(double shift, double noise) {
  Random random(9);
  Points points;
  for (int i = 0; i < 6; ++i) {
    const double compute = 1e18 * std::pow(10, i * 0.6);
    const double best = ChinchillaLaw().Optimal(Published(), compute)->params;
    for (int j = -3; j <= 3; ++j) {
      Point& p = points.emplace_back();
      p.compute = compute * (1 + 0.002 * j);
      p.params = best * std::exp(shift + 0.3 * j);
      p.run = static_cast<int>(points.size());
      Points one{p};
      FillByCompute(one);
      p = one[0];
      p.loss = ChinchillaLaw().Loss(Published(), p) * std::exp(noise * random.Normal());
    }
  }
  return points;
}

double GrowthOf(const Vector& natural) { return natural[4] / (natural[3] + natural[4]); }

TEST(IsoFlopTest, FindsTheBestSizesOfALaw) {
  const Frontier frontier = IsoFlop(Grid(0, 0)).value();
  ASSERT_EQ(frontier.points.size(), 6u);
  EXPECT_TRUE(frontier.left_out.empty());
  EXPECT_NEAR(frontier.exponent, GrowthOf(Published()), 2e-3);
  for (const FrontierPoint& p : frontier.points) {
    const Allocation best = ChinchillaLaw().Optimal(Published(), p.compute).value();
    EXPECT_NEAR(p.params / best.params, 1, 0.02);
    EXPECT_NEAR(p.loss / best.loss, 1, 1e-3);
    EXPECT_EQ(p.runs, 7);
  }
  EXPECT_NEAR(frontier.ComputeFor(frontier.Optimal(1e24).params) / 1e24, 1, 1e-9);
}

TEST(IsoFlopTest, GridsOffTheirCentreAreWarnedOf) {
  const Frontier frontier = IsoFlop(Grid(0.6, 0)).value();
  EXPECT_THAT(frontier.warnings, Each(HasSubstr("far from the middle")));
  EXPECT_EQ(frontier.warnings.size(), 1u);
}

TEST(IsoFlopTest, WhatShowsNoValleyIsLeftOutAndSaid) {
  Points points = Grid(0, 0);
  // At the first compute only sizes above the best; at the second too few.
  std::erase_if(points, [&](const Point& p) {
    return p.compute > 3e18 && p.compute < 6e18 &&
           p.params > ChinchillaLaw().Optimal(Published(), p.compute)->params;
  });
  Frontier frontier = IsoFlop(points).value();
  EXPECT_EQ(frontier.points.size(), 5u);
  ASSERT_EQ(frontier.left_out.size(), 1u);
  EXPECT_NEAR(frontier.left_out[0].compute / 3.98e18, 1, 0.02);
  std::erase_if(points, [](const Point& p) { return p.compute < 1e20; });
  EXPECT_THAT(std::string(IsoFlop(points).status().message()),
              HasSubstr("run at least 4 sizes at each"));
}

TEST(IsoFlopTest, ResamplesHoldTheTruth) {
  const Points points = Grid(0, 0.002);
  std::vector<double> exponents;
  for (const Frontier& f : ResampleFrontier(FrontierMethod::kIsoFlop, points, 300, 1)) {
    exponents.push_back(f.exponent);
  }
  ASSERT_GT(exponents.size(), 250u);
  const Interval wide = Intervals(exponents).back();
  EXPECT_LT(wide.low, GrowthOf(Published()));
  EXPECT_GT(wide.high, GrowthOf(Published()));
  EXPECT_LT(wide.high - wide.low, 0.2);
}

TEST(EnvelopeTest, FindsTheBestSizesAmongTrainingCurves) {
  Points points;
  for (int size = 0; size < 14; ++size) {
    for (int step = 0; step < 60; ++step) {
      Point& p = points.emplace_back();
      p.params = 1e7 * std::pow(10, size / 4.0);
      p.tokens = p.params * std::pow(10, -0.5 + step / 15.0);
      p.compute = 6 * p.params * p.tokens;
      p.loss = ChinchillaLaw().Loss(Published(), p);
      p.run = size;
    }
  }
  // Where curves of several sizes cross, and not only one's own begin or end is to be seen.
  std::erase_if(points, [](const Point& p) { return p.compute < 1e17 || p.compute > 1e22; });
  const Frontier frontier = Envelope(points, 16).value();
  EXPECT_NEAR(frontier.exponent, GrowthOf(Published()), 0.02);
  const double best = ChinchillaLaw().Optimal(Published(), 1e20)->params;
  EXPECT_NEAR(frontier.Optimal(1e20).params / best, 1, 0.25);
}

TEST(EnvelopeTest, ARunThatACheaperOneBeatsIsNotOnIt) {
  Points points = Grid(0, 0);
  points[20].loss = 1.5;  // better than all that are dearer
  EXPECT_FALSE(Envelope(points).ok());
}

// Hoffmann et al. 2022, table 2: exponents .50 (approach 1) and .49 (.462–.534, approach 2), from
// the points that can be read off their figure.
TEST(FrontierDataTest, HoffmannsExponents) {
  const Points all = ChinchillaPoints();
  if (all.empty()) GTEST_SKIP() << "no scaling/chinchilla_figure4_points.csv at hand";
  const Points points = WithoutHighest(all, 5);
  const Frontier isoflop = IsoFlop(points).value();
  EXPECT_GT(isoflop.exponent, .462);
  EXPECT_LT(isoflop.exponent, .534);
  const Frontier envelope = Envelope(points).value();
  EXPECT_NEAR(envelope.exponent, .50, .05);
}

}  // namespace
}  // namespace longrun::scaling
