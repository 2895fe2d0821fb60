// How often to write a checkpoint: every so many steps, every so many seconds, or as often as pays,
// from what one costs and how often the gang fails.
//
// Pure; used by each rank's training loop. A checkpoint is written when any rank finds one due,
// which the ranks tell each other step by step.
#pragma once

#include <cstdint>
#include <string>

namespace longrun::training {

struct CheckpointConfig {
  enum class Every { kAuto, kSteps, kSeconds };
  Every every = Every::kAuto;
  int64_t steps = 0;
  double seconds = 0;
  int64_t keep = 3;  // newest checkpoints kept
  // For auto: mean time between faults that the memory of the peers does not survive. The default
  // is Llama 3's rate on 16,384 accelerators, one interruption in 3.09 h (Dubey et al. 2024, table
  // 5).
  double mean_seconds_between_failures = 3.09 * 3600;
};

// Daly's optimum (2006): √(2δM)·[1 + ⅓√(δ/2M) + (δ/2M)/9] − δ for δ < 2M, else M. `cost_seconds` δ:
// what one checkpoint takes from the training; M: mean time between failures. Both > 0.
double DalyInterval(double cost_seconds, double mean_seconds_between_failures);

// Whether a checkpoint is due after `step`.
class CheckpointClock {
 public:
  explicit CheckpointClock(const CheckpointConfig& config) : config_(config) {}

  // `now`: seconds on a steady clock. A checkpoint exists at (or training starts from) `step`.
  void Restart(int64_t step, double now);
  // Nobody in the gang knows yet what one costs: the next is due early, to tell.
  void MeasureSoon() { measure_soon_ = true; }
  // What the last one cost: `stall` seconds of a step's time and `write` seconds in the background,
  // which cost the training too where cores and disks are shared.
  void Measured(double stall_seconds, double write_seconds);
  bool Due(int64_t step, double now) const;
  double interval_seconds() const;  // 0 where it counts steps

 private:
  const CheckpointConfig config_;
  bool measure_soon_ = false;
  double cost_seconds_ = 0.5;  // before the first measurement
  double stall_seconds_ = 0;
  int64_t last_step_ = 0;
  double last_time_ = 0;
};

}  // namespace longrun::training
