// The learning rate as a pure function of the step: linear warm-up, then a cosine down to `min_lr`
// (Loshchilov and Hutter 2017), flat from there on.
#pragma once

#include <cstdint>

#include "base/status.h"

namespace longrun::training {

struct ScheduleConfig {
  double lr = 1e-3;
  double min_lr = 1e-4;
  int64_t warmup_steps = 100;
  int64_t decay_steps = 1000;  // the step at which min_lr is reached; warm-up included

  absl::Status Validate() const;
};

// `step` counts from 0; step 0 of a warm-up of n steps has lr / (n + 1), as nanoGPT's: none is 0.
double LearningRate(const ScheduleConfig& config, int64_t step);

}  // namespace longrun::training
