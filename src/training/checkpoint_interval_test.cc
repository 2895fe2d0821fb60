#include "training/checkpoint_interval.h"

#include <cmath>

#include "gtest/gtest.h"

namespace longrun::training {
namespace {

TEST(DalyInterval, FollowsTheFormula) {
  // δ = 60 s, M = 86,400 s: √(2·60·86400)·[1 + ⅓√(60/172800) + (60/172800)/9] − 60, by hand.
  EXPECT_NEAR(DalyInterval(60, 86400), 3219.938 * (1 + 0.0062113 + 0.0000386) - 60, 0.5);
  EXPECT_EQ(DalyInterval(200, 100), 100);  // δ ≥ 2M
}

TEST(DalyInterval, IsNearTheCheapestInterval) {
  // Expected overhead of interval t: δ/t for checkpoints, t/2M for work lost (Young 1974).
  const double cost = 5, mean = 10000, best = DalyInterval(cost, mean);
  const auto overhead = [&](double t) { return cost / t + t / (2 * mean); };
  EXPECT_LT(overhead(best), 1.01 * overhead(std::sqrt(2 * cost * mean)));
  EXPECT_LT(overhead(best), overhead(best / 2));
  EXPECT_LT(overhead(best), overhead(best * 2));
}

TEST(CheckpointClock, CountsSteps) {
  CheckpointConfig config;
  config.every = CheckpointConfig::Every::kSteps;
  config.steps = 100;
  CheckpointClock clock(config);
  clock.Restart(250, 0);  // resumed between two multiples
  EXPECT_FALSE(clock.Due(299, 1e9));
  EXPECT_TRUE(clock.Due(300, 0));
  clock.Restart(300, 0);
  EXPECT_FALSE(clock.Due(300, 0));  // the same step, run again after a recovery
}

TEST(CheckpointClock, CountsSeconds) {
  CheckpointConfig config;
  config.every = CheckpointConfig::Every::kSeconds;
  config.seconds = 30;
  CheckpointClock clock(config);
  clock.Restart(0, 100);
  EXPECT_FALSE(clock.Due(5, 129));
  EXPECT_TRUE(clock.Due(5, 130));
}

TEST(CheckpointClock, AutoWritesOftenerWhenItIsCheaperOrFaultsAreCloser) {
  CheckpointConfig config;
  CheckpointClock cheap(config), dear(config);
  cheap.Measured(0.001, 0.1);
  dear.Measured(0.1, 10);
  EXPECT_LT(cheap.interval_seconds(), dear.interval_seconds());
  config.mean_seconds_between_failures = 600;
  CheckpointClock faulty(config);
  faulty.Measured(0.1, 10);
  EXPECT_LT(faulty.interval_seconds(), dear.interval_seconds());
}

TEST(CheckpointClock, AutoWritesTheFirstEarlyToLearnItsCost) {
  CheckpointClock clock{CheckpointConfig()};
  clock.MeasureSoon();
  clock.Restart(0, 100);
  EXPECT_FALSE(clock.Due(7, 109));
  EXPECT_TRUE(clock.Due(8, 110));
  clock.Measured(0.1, 10);
  clock.Restart(8, 110);
  EXPECT_FALSE(clock.Due(99, 300)) << "a dear one comes again as Daly says";
}

TEST(CheckpointClock, AutoNeverStallsMoreThanTwoPercent) {
  CheckpointConfig config;
  config.mean_seconds_between_failures = 1;
  CheckpointClock clock(config);
  clock.Measured(0.5, 0.1);
  EXPECT_GE(clock.interval_seconds(), 0.5 / 0.02);
}

}  // namespace
}  // namespace longrun::training
