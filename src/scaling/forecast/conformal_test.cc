#include "scaling/forecast/conformal.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "scaling/distributions.h"

namespace longrun::scaling {
namespace {

TEST(ConformalTest, WithoutScoresTheToldErrorIsBelieved) {
  const ScoreDistribution scores;
  EXPECT_NEAR(scores.Quantile(0.8), NormalQuantile(0.9), 1e-9);
  EXPECT_NEAR(scores.Below(1), 0.6826894921, 1e-9);
}

TEST(ConformalTest, ManyScoresSpeakForThemselves) {
  ScoreDistribution scores;
  for (int i = 1; i <= 10000; ++i) scores.Add(i / 1000.0, 1);
  EXPECT_NEAR(scores.Quantile(0.8), 8, 0.01);
  EXPECT_NEAR(scores.Quantile(0.5), 5, 0.01);
  EXPECT_NEAR(scores.Below(9.5), 0.95, 1e-3);
}

TEST(ConformalTest, WeightsCountAsRepeatedScores) {
  ScoreDistribution weighted, repeated;
  for (const double z : {2.5, 0.3, 1.1}) {
    weighted.Add(z, 4);
    for (int i = 0; i < 4; ++i) repeated.Add(z, 1);
  }
  for (const double z : {0.1, 0.3, 1.0, 2.0, 3.0}) {
    EXPECT_DOUBLE_EQ(weighted.Below(z), repeated.Below(z));
  }
}

// Errors twice as large as told: the interval learns it, and then holds as often as it says.
TEST(ConformalTest, IntervalsOfATooSureForecasterAreMended) {
  Random random(4);
  int held = 0;
  const int trials = 2000;
  for (int i = 0; i < trials; ++i) {
    ScoreDistribution scores;
    for (int k = 0; k < 40; ++k) scores.Add(std::abs(2 * random.Normal()), 1);
    held += std::abs(2 * random.Normal()) <= scores.Quantile(0.8);
  }
  EXPECT_NEAR(held, 0.78 * trials, 0.03 * trials) << "a little less: the prior weighs 5 of 45";
}

}  // namespace
}  // namespace longrun::scaling
