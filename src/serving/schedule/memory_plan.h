// Whether a model and a useful number of sequences fit into the memory there is, and how it is
// divided: weights, what a step needs beside them, and all the rest for keys and values. Pure; the
// limit is read by whoever calls (the cgroup's or the machine's memory, the device's).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "serving/execute/executor.h"

namespace longrun::serving {

struct MemoryQuestion {
  ModelShape shape;
  KvType kv_type = KvType::kF32;
  int64_t block_tokens = 16;
  double limit_bytes = 0;  // all that may be used
  // Of it, for the rest of the process, and what that is for.
  struct Part {
    std::string name;
    double bytes = 0;
  };
  std::vector<Part> reserved;
  // Executor::ActivationBytes(tokens, logits) of the largest step.
  double activation_bytes = 0;
  int64_t cache_tokens = 0;  // wanted; 0: all that fits, but no more than max_sequences contexts
  int64_t max_sequences = 256;
  // What int8 weights would take, for advice; 0: they are int8 already or cannot be.
  double int8_weight_bytes = 0;
};

struct MemoryPlan {
  std::vector<MemoryQuestion::Part> reserved;
  double limit_bytes = 0, reserved_bytes = 0, weight_bytes = 0, activation_bytes = 0;
  double cache_bytes = 0;
  int64_t blocks = 0, block_tokens = 0, tokens = 0;
  int64_t context = 0;
  double bytes_per_token = 0;
  KvType kv_type = KvType::kF32;
  // How many sequences of so many tokens fit at once.
  struct Fit {
    int64_t sequence_tokens = 0, sequences = 0;
  };
  std::vector<Fit> fits;
};

// ResourceExhausted where not even one sequence of the model's context fits: the message says how
// much lacks, and which flags would make it fit: --context, --cache int8, --weights int8, --memory.
absl::StatusOr<MemoryPlan> PlanMemory(const MemoryQuestion& question);

// "f32", "bf16" or "int8".
const char* NameOf(KvType type);

// The table that is printed at start.
std::string Table(const MemoryPlan& plan);

}  // namespace longrun::serving
