#include "scaling/plan/failures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace longrun::scaling {
namespace {

// A run of `work` seconds under failures that come at exponential intervals: trains for an
// interval, stands still for a checkpoint, and after a failure at any moment restarts (which may
// fail as well) and does the interval again. Returns the share of the time that was new work.
double SimulatedShare(const FailureCosts& costs, double work, uint64_t seed) {
  Random random(seed);
  double now = 0, done = 0, next_failure = random.Exponential(costs.mtbf_seconds);
  const auto survives = [&](double seconds) {
    if (next_failure - now >= seconds) {
      now += seconds;
      return true;
    }
    now = next_failure;
    next_failure = now + random.Exponential(costs.mtbf_seconds);
    return false;
  };
  while (done < work) {
    if (survives(costs.interval_seconds + costs.checkpoint_seconds)) {
      done += costs.interval_seconds;
      continue;
    }
    while (!survives(costs.restart_seconds)) {
    }
  }
  return done / now;
}

FailureCosts Llama3() {
  FailureCosts costs;
  costs.mtbf_seconds = MeanSecondsBetweenFailures(2048, 3.79);
  costs.restart_seconds = 600 + ColdRestartSeconds(16384);
  costs.checkpoint_seconds = 14 * 405e9 / 2e12;
  costs.interval_seconds = DalyInterval(costs.checkpoint_seconds, costs.mtbf_seconds);
  return costs;
}

TEST(PlanFailuresTest, LlamasRateIsOneInterruptionInThreeHours) {
  EXPECT_NEAR(MeanSecondsBetweenFailures(2048, 3.79) / 3600, 3.09, 0.005);
}

TEST(PlanFailuresTest, FiftyThousandHoursPerAcceleratorIsHalfAnHourAt100K) {
  const double per_1000_accelerator_days = 1000 * 24 / 50000.0;
  EXPECT_NEAR(MeanSecondsBetweenFailures(100e3, per_1000_accelerator_days) / 60, 30, 1e-9);
}

// Published: more than 90 % effective time over 54 days.
TEST(PlanFailuresTest, LlamasEffectiveTimeIsAbove90Percent) {
  const FailureCosts costs = Llama3();
  EXPECT_GT(EffectiveShareExact(costs), 0.90);
  EXPECT_LT(EffectiveShareExact(costs), 0.95);
  EXPECT_NEAR(EffectiveShare(costs), EffectiveShareExact(costs), 0.01);
}

TEST(PlanFailuresTest, IntervalsByHand) {
  // √(2 · 50 · 10,000) = 1,000.
  EXPECT_DOUBLE_EQ(YoungInterval(50, 10000), 1000);
  // 1,000 · [1 + √0.0025/3 + 0.0025/9] − 50 = 1,000 · 1.016944… − 50.
  EXPECT_NEAR(DalyInterval(50, 10000), 966.9444, 1e-3);
  EXPECT_DOUBLE_EQ(DalyInterval(300, 100), 100);
}

TEST(PlanFailuresTest, EffectiveShareByHand) {
  // (1 − (200 + 500)/10,000) / (1 + 50/1,000) = 0.93 / 1.05.
  EXPECT_DOUBLE_EQ(EffectiveShare({10000, 200, 1000, 50}), 0.93 / 1.05);
  EXPECT_EQ(EffectiveShare({100, 200, 1000, 50}), 0);
}

TEST(PlanFailuresTest, DalysIntervalIsTheBestOne) {
  for (const double mtbf : {2000.0, 11000.0, 100000.0}) {
    FailureCosts costs{mtbf, 300, 0, 30};
    const auto share_at = [&](double factor) {
      costs.interval_seconds = factor * DalyInterval(30, mtbf);
      return EffectiveShareExact(costs);
    };
    EXPECT_GT(share_at(1), share_at(0.9));
    EXPECT_GT(share_at(1), share_at(1.1));
  }
}

// 5 % is what the first-order formula is good for; the exact one must do as well as the noise of
// some thousands of failures lets one see.
TEST(PlanFailuresTest, SimulatedRunsAgree) {
  const FailureCosts cases[] = {
      Llama3(),
      {11000, 800, DalyInterval(30, 11000), 30},  // slow checkpoints, slow detection
      {3600, 120, DalyInterval(20, 3600), 20},    // one failure an hour
      {1080, 30, DalyInterval(3, 1080), 3},       // every 18 minutes: 100K accelerators
  };
  for (const FailureCosts& costs : cases) {
    const double simulated = SimulatedShare(costs, 20000 * costs.mtbf_seconds, 7);
    EXPECT_NEAR(EffectiveShareExact(costs) / simulated, 1, 0.005) << costs.mtbf_seconds;
    EXPECT_NEAR(EffectiveShare(costs) / simulated, 1, 0.05) << costs.mtbf_seconds;
  }
}

// Outside that envelope the formula is wrong, and the exact form is what plans take.
TEST(PlanFailuresTest, ExactHoldsWhereTheFormulaDoesNot) {
  const FailureCosts costs{1000, 600, DalyInterval(100, 1000), 100};
  const double simulated = SimulatedShare(costs, 20000 * costs.mtbf_seconds, 11);
  EXPECT_NEAR(EffectiveShareExact(costs) / simulated, 1, 0.02);
  EXPECT_GT(std::abs(EffectiveShare(costs) / simulated - 1), 0.05);
}

TEST(PlanFailuresTest, ColdRestartsAsPublished) {
  EXPECT_DOUBLE_EQ(ColdRestartSeconds(8), 200);
  EXPECT_DOUBLE_EQ(ColdRestartSeconds(16e3), 200);
  EXPECT_DOUBLE_EQ(ColdRestartSeconds(22e3), 300);
  EXPECT_DOUBLE_EQ(ColdRestartSeconds(64e3), 600);
  EXPECT_DOUBLE_EQ(ColdRestartSeconds(98e3), 900);
  EXPECT_DOUBLE_EQ(ColdRestartSeconds(43e3), 450);
  EXPECT_NEAR(ColdRestartSeconds(132e3), 1200, 1e-9);
}

// Published: the 99th percentile at 1,024 nodes is 4 spares.
TEST(PlanFailuresTest, SparesAreABinomialQuantile) {
  EXPECT_EQ(SparesFor(1024, 0.0012, 0.99), 4);
  EXPECT_EQ(SparesFor(1024, 0, 0.99), 0);
  // Binomial(2, 0.5): 0.25, 0.75, 1.
  EXPECT_EQ(SparesFor(2, 0.5, 0.25), 0);
  EXPECT_EQ(SparesFor(2, 0.5, 0.74), 1);
  EXPECT_EQ(SparesFor(2, 0.5, 0.76), 2);
  // A mean of 1,000 and a deviation of 31.6: the normal quantile is 1,000 + 2.326 · 31.6 + ½.
  EXPECT_NEAR(static_cast<double>(SparesFor(1000000, 0.001, 0.99)), 1074, 1.5);
}

}  // namespace
}  // namespace longrun::scaling
