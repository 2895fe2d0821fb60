// The executor that computes with libtorch, on the CPU or on a CUDA device: GPT-2 and Llama
// families, weights held as f32, bf16 or f16, keys and values in blocks on the device.
//
// Activations meet weights in the weights' type; norms, attention and the residual stream are f32.
// Logits leave a product of bf16 weights as bf16: 8 bits.
//
// A row's result depends on its own sequence alone, as the seam asks, but libtorch's products sum
// in an order that depends on how many rows there are: what other rows, chunks or sizes of blocks
// change is bounded, and not nothing. Held by the tests to 1e-4 of a logit for f32 weights (most
// seen: 4e-6; with an int8 cache 2e-5, held to 0.01) and to 0.1 for bf16 weights (none seen).
// Which blocks hold the keys, and what lay in them before, changes no bit.
//
// What is known to work is libtorch 1.13 on the CPU, where CpuExecutor is faster: GPT-2 of 124M in
// f32 on two cores, tokens a second of a prompt of 512: 844 against 1050; decoding alone 46 against
// 59, 16 at once 172 against 434 (bench/serving_throughput). It was never run on a CUDA device.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "serving/execute/ceilings.h"
#include "serving/execute/executor.h"

namespace longrun::serving {

struct TorchExecutorOptions {
  std::string device = "cpu";  // "cpu", "cuda" (the first) or "cuda:1"
  std::string weights =
      "auto";           // f32, bf16, f16 (CUDA alone); auto: f32 for files of f32, else bf16
  int threads = 0;      // on the CPU, for the whole process; 0: one for each we may use
  int64_t context = 0;  // tokens of the longest sequence; 0: the model's own
};

// Errors name what is wrong: InvalidArgument (no such device or type, files), NotFound (files, a
// CUDA device that is not there), DataLoss (damaged files), ResourceExhausted (no memory for the
// weights).
absl::StatusOr<std::unique_ptr<Executor>> OpenTorchExecutor(const std::string& folder,
                                                            const TorchExecutorOptions& options);

// Whether `device` has memory of its own, rather than the machine's.
bool HasOwnMemory(const std::string& device);

// Free memory of a CUDA device, for the memory plan. Unimplemented where this program was built
// without CUDA's headers: the user must then say how much may be used.
absl::StatusOr<int64_t> FreeDeviceBytes(const std::string& device);

// What the device does at most: the product of two large matrices and a large copy (bytes read and
// bytes written). Takes some tenths of a second.
absl::StatusOr<Ceilings> MeasureTorchCeilings(const std::string& device, int threads);

}  // namespace longrun::serving
