#include "training/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace longrun::training {
namespace {

constexpr ScheduleConfig kConfig{.lr = 1.0, .min_lr = 0.1, .warmup_steps = 9, .decay_steps = 109};

TEST(Schedule, WarmsUpInEqualStepsFromAboveZero) {
  EXPECT_DOUBLE_EQ(LearningRate(kConfig, 0), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(kConfig, 8), 0.9);
  EXPECT_DOUBLE_EQ(LearningRate(kConfig, 9), 1.0);
}

TEST(Schedule, FallsAsACosineToTheSmallest) {
  EXPECT_DOUBLE_EQ(LearningRate(kConfig, 59), 0.55);  // halfway
  EXPECT_NEAR(LearningRate(kConfig, 34), 0.1 + 0.45 * (1 + std::cos(M_PI / 4)), 1e-12);
  EXPECT_DOUBLE_EQ(LearningRate(kConfig, 109), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(kConfig, 1'000'000), 0.1);
  for (int64_t step = 10; step < 109; ++step) {
    EXPECT_LT(LearningRate(kConfig, step), LearningRate(kConfig, step - 1));
  }
}

TEST(Schedule, WithoutWarmUpOrDecay) {
  EXPECT_EQ(LearningRate({.lr = 2, .min_lr = 1, .warmup_steps = 0, .decay_steps = 10}, 0), 2);
  EXPECT_EQ(LearningRate({.lr = 2, .min_lr = 1, .warmup_steps = 0, .decay_steps = 0}, 0), 1);
}

TEST(Schedule, RefusesWhatCannotBe) {
  EXPECT_TRUE(kConfig.Validate().ok());
  EXPECT_FALSE(ScheduleConfig{.lr = 0}.Validate().ok());
  EXPECT_FALSE(ScheduleConfig{.lr = NAN}.Validate().ok());
  EXPECT_FALSE((ScheduleConfig{.lr = 1, .min_lr = 2}).Validate().ok());
  EXPECT_FALSE(ScheduleConfig{.warmup_steps = -1}.Validate().ok());
  EXPECT_FALSE((ScheduleConfig{.warmup_steps = 10, .decay_steps = 9}).Validate().ok());
}

}  // namespace
}  // namespace longrun::training
