#include "training/checkpoint_interval.h"

#include <algorithm>
#include <cmath>

namespace longrun::training {
namespace {

// With auto, the first checkpoint of a gang that starts: a short run has little else to go back to.
constexpr double kFirstAfterSeconds = 10;

}  // namespace

double DalyInterval(double cost_seconds, double mean_seconds_between_failures) {
  const double d = cost_seconds, m = mean_seconds_between_failures;
  if (d >= 2 * m) return m;
  const double ratio = d / (2 * m);
  return std::sqrt(2 * d * m) * (1 + std::sqrt(ratio) / 3 + ratio / 9) - d;
}

void CheckpointClock::Restart(int64_t step, double now) {
  last_step_ = step;
  last_time_ = now;
}

void CheckpointClock::Measured(double stall_seconds, double write_seconds) {
  measure_soon_ = false;
  stall_seconds_ = stall_seconds;
  cost_seconds_ = std::max(1e-4, stall_seconds + write_seconds);
}

double CheckpointClock::interval_seconds() const {
  switch (config_.every) {
    case CheckpointConfig::Every::kSteps:
      return 0;
    case CheckpointConfig::Every::kSeconds:
      return config_.seconds;
    case CheckpointConfig::Every::kAuto:
      break;
  }
  if (measure_soon_) return kFirstAfterSeconds;
  // However often faults come, the stall itself stays below 2 % and writing leaves the disk in
  // peace half of the time.
  const double least = std::max({1.0, stall_seconds_ / 0.02, 2 * cost_seconds_});
  return std::max(least, DalyInterval(cost_seconds_, config_.mean_seconds_between_failures));
}

bool CheckpointClock::Due(int64_t step, double now) const {
  if (step <= last_step_) return false;
  if (config_.every == CheckpointConfig::Every::kSteps) return step % config_.steps == 0;
  return now - last_time_ >= interval_seconds();
}

}  // namespace longrun::training
