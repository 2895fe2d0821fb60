#include "scaling/picture/fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace longrun::scaling {
namespace {

const Panel* Find(const Picture& picture, const std::string& name) {
  for (const Panel& panel : picture.panels) {
    if (panel.name == name) return &panel;
  }
  return nullptr;
}

// Points of Besiroglu et al. 2024's law, eight sizes at each of five computes.
Points Grid(const Law& law, const Vector& natural) {
  Random random(5);
  Points points;
  for (int c = 0; c < 5; ++c) {
    for (int n = 0; n < 8; ++n) {
      Point& point = points.emplace_back();
      point.compute = 1e18 * std::pow(10, c);
      point.params = 1e7 * std::pow(10, 0.5 * c + 0.25 * n);
      point.tokens = point.compute / (6 * point.params);
      point.loss = law.Loss(natural, point) * std::exp(0.003 * random.Normal());
    }
  }
  return points;
}

FitRecord Record() {
  const Law& law = ChinchillaLaw();
  FitRecord record;
  record.points = Grid(law, Vector{{482.006, 2085.43, 1.81686, .34781, .36585}});
  record.dropped.push_back({record.points.back(), "largest"});
  record.points.pop_back();
  record.fit = FitLaw(law, record.points, Objective{}).value();
  BootstrapOptions options;
  options.resamples = 100;
  record.bootstrap = Resample(record.fit, record.points, options).value();
  return record;
}

TEST(PictureFitTest, ALawOfTwoSizesHasFourPanels) {
  const FitRecord record = Record();
  Point reached;
  reached.compute = 5e23;
  reached.loss = 1.98;
  const Picture picture = FitPicture(record, 1e24, {reached});
  ASSERT_EQ(picture.panels.size(), 4u);
  const Panel& line = *Find(picture, "line");
  for (const Series& series : line.series) {
    if (series.look == Series::Look::kDots) {
      EXPECT_EQ(series.x.size(), record.points.size());
    }
    if (series.look == Series::Look::kRings) {
      EXPECT_EQ(series.x.size(), 1u);
    }
    if (series.look == Series::Look::kDashes) {
      EXPECT_NEAR(series.x.back() / 1e24, 1, 1e-9);
    }
    if (series.look != Series::Look::kBand) continue;
    for (size_t i = 0; i < series.x.size(); ++i) EXPECT_LT(series.y[i], series.y_high[i]);
  }
  EXPECT_EQ(line.series.back().look, Series::Look::kStars);
  EXPECT_EQ(line.series.back().y, std::vector<double>{1.98});
  // What the band is about lies within it.
  const double best = record.fit.law->Optimal(record.fit.parameters, 1e24)->loss;
  const auto band = std::find_if(line.series.begin(), line.series.end(), [](const Series& series) {
    return series.look == Series::Look::kBand;
  });
  ASSERT_NE(band, line.series.end());
  EXPECT_GT(best, band->y.back());
  EXPECT_LT(best, band->y_high.back());
  EXPECT_EQ(Find(picture, "residuals")->series[0].x.size(), record.points.size());
}

TEST(PictureFitTest, ALawOfOneSizeHasNoIsoflops) {
  const Law& law = PowerComputeLaw();
  FitRecord record;
  Random random(6);
  for (int i = 0; i < 30; ++i) {
    Point& point = record.points.emplace_back();
    point.compute = 1e18 * std::pow(10, i / 6.0);
    point.loss = law.Loss(Vector{{1600, -.165, 1.74}}, point) * std::exp(0.001 * random.Normal());
  }
  record.fit = FitLaw(law, record.points, Objective{}).value();
  ASSERT_TRUE(record.fit.trusted());
  const Picture picture = FitPicture(record, 0);
  EXPECT_EQ(picture.panels.size(), 2u);
  EXPECT_NE(Find(picture, "line"), nullptr);
  EXPECT_EQ(Find(picture, "isoflop"), nullptr);
}

TEST(PictureFitTest, GroupsAreOfAboutEqualCompute) {
  const Points points = Grid(ChinchillaLaw(), Vector{{482, 2085, 1.8, .348, .366}});
  const auto groups = IsoflopGroups(points, 1.25, 6);
  ASSERT_EQ(groups.size(), 5u);
  for (size_t g = 0; g < groups.size(); ++g) {
    EXPECT_EQ(groups[g].size(), 8u);
    for (const size_t i : groups[g]) EXPECT_NEAR(points[i].compute, 1e18 * std::pow(10, g), 1e12);
  }
  EXPECT_TRUE(IsoflopGroups(points, 1.25, 9).empty());
  EXPECT_TRUE(IsoflopGroups({}, 1.25, 1).empty());
}

}  // namespace
}  // namespace longrun::scaling
