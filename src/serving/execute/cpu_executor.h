// The executor that computes on the CPU with own loops: no libtorch, ready in milliseconds.
//
// Weights are read from a Hugging Face folder (GPT-2 and Llama families) and held as f32, as bf16
// or as int8 with a scale for each row; activations meet bf16 and int8 weights as bf16, and sums
// are f32. Results are the same bits for any batch, chunking, blocks and number of threads; they
// differ between instruction sets.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "serving/execute/executor.h"

namespace longrun::serving {

enum class CpuWeightType { kAuto, kF32, kBF16, kInt8 };

struct CpuOptions {
  CpuWeightType weights = CpuWeightType::kAuto;  // auto: f32 for files of f32, else bf16
  int threads = 0;                               // 0: one for each CPU that we may use
  int64_t context = 0;       // tokens of the longest sequence; 0: the model's own
  std::string instructions;  // "avx512_bf16", "avx512", "avx2" or "plain"; "": the machine's best
};

// Errors name file, tensor or field: NotFound, InvalidArgument, DataLoss (damaged files),
// ResourceExhausted (no memory for the weights).
absl::StatusOr<std::unique_ptr<Executor>> OpenCpuExecutor(const std::string& folder,
                                                          const CpuOptions& options);

// CPUs that this process may run on.
int UsableCpus();

}  // namespace longrun::serving
