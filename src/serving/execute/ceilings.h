// What this machine can do at most, for model FLOPs and bandwidth utilisation: measured, with the
// threads that will compute. Any thread; about 0.2 s, for which nothing else should compute.
#pragma once

#include "base/status.h"

namespace longrun::serving {

struct Ceilings {
  double read_bytes_per_second = 0;  // of memory far larger than the caches
  double bf16_flops_per_second = 0;  // products and sums of the kernels' inner loop, in cache
  double f32_flops_per_second = 0;
};

// `threads`: 0, one for each CPU that we may use. ResourceExhausted where there is no memory to
// read.
absl::StatusOr<Ceilings> MeasureCeilings(int threads);

}  // namespace longrun::serving
