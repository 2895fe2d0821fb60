#include "scaling/fit/objective.h"

#include <gtest/gtest.h>

#include <cmath>

namespace longrun::scaling {
namespace {

TEST(ObjectiveTest, HuberIsQuadraticWithinDeltaAndLinearBeyond) {
  EXPECT_DOUBLE_EQ(HuberPenalty(0.5, 1).value, 0.125);
  EXPECT_DOUBLE_EQ(HuberPenalty(-3, 1).value, 2.5);
  EXPECT_DOUBLE_EQ(HuberPenalty(-3, 1).slope, -1);
  EXPECT_DOUBLE_EQ(HuberPenalty(3, 1).curvature, 0);
}

TEST(ObjectiveTest, DerivativesAreThoseOfTheValue) {
  const double h = 1e-6;
  for (const double r : {-2.0, -0.3, 0.0, 0.2, 5.0}) {
    for (const auto& penalty : {+[](double x) { return HuberPenalty(x, 0.7); },
                                +[](double x) { return SquarePenalty(x); }}) {
      EXPECT_NEAR(penalty(r).slope, (penalty(r + h).value - penalty(r - h).value) / (2 * h), 1e-8);
      EXPECT_NEAR(penalty(r).curvature, (penalty(r + h).slope - penalty(r - h).slope) / (2 * h),
                  1e-8);
    }
  }
}

TEST(ObjectiveTest, TheNormalizerIsTheIntegral) {
  for (const double delta : {0.5, 1.0, 3.0}) {
    double sum = 0;
    const double step = 1e-3;
    const double reach = 40 / delta;
    for (double r = -reach; r < reach; r += step) {
      sum += step * std::exp(-HuberPenalty(r, delta).value);
    }
    EXPECT_NEAR(HuberNormalizer(delta) / sum, 1, 1e-5) << delta;
  }
}

}  // namespace
}  // namespace longrun::scaling
