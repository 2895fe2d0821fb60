// What `serve` computes on: the executor behind a device's name, the memory that is left there and
// the most that it can do.
//
// "cpu": own loops. "torch:cpu", "cuda", "cuda:N": libtorch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "serving/execute/ceilings.h"
#include "serving/execute/executor.h"

namespace longrun::worker {

struct ServeDevice {
  std::string name = "cpu";
  int threads = 0;      // on the CPU; 0: one for each core
  int64_t context = 0;  // tokens of the longest sequence; 0: the model's own

  // Loads the model. `weights`: "auto" (as in the files), "f32", "bf16", "f16" or "int8"; which of
  // them a device has, it says itself.
  absl::StatusOr<std::unique_ptr<serving::Executor>> Open(const std::string& model_dir,
                                                          const std::string& weights) const;
  // Bytes that weights, cache and activations may still take.
  absl::StatusOr<int64_t> MemoryLeft() const;
  // Measured, with nothing else computing.
  absl::StatusOr<serving::Ceilings> Measure() const;
  bool has_int8() const { return name == "cpu"; }
  bool has_own_memory() const;  // not the host's
  int ThreadCount() const;      // of the host, that sample
};

}  // namespace longrun::worker
