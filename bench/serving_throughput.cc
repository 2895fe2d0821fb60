// Tokens a second of an executor, beside what the device allows: a prompt of 512 tokens, decoding
// alone, and decoding 8, 16 and 32 sequences at once after prompts of 128.
//
//   serving_throughput [--device cpu|torch:cpu|cuda|cuda:N] FOLDER [f32|bf16|f16|int8 …]
//
// cpu: CpuExecutor; the others: TorchExecutor, where this was built with libtorch.
// FOLDER: a GPT-2 or Llama folder; bench/random_gpt2.py writes one of 124M with random weights.

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "serving/execute/ceilings.h"
#include "serving/execute/cpu_executor.h"
#ifdef LR_BENCH_TORCH
#include "serving/execute_torch/torch_executor.h"
#endif

namespace longrun::serving {
namespace {

class Runner {
 public:
  Runner(Executor& executor, int64_t sequences) : executor_(executor) {
    const int64_t blocks = executor.shape().context / 16;
    Random random(2);
    for (int64_t s = 0; s < sequences; ++s) {
      blocks_.emplace_back();
      for (int64_t b = 0; b < blocks; ++b) {
        blocks_.back().push_back(static_cast<BlockId>(s * blocks + b));
      }
    }
    for (int64_t i = 0; i < executor.shape().context; ++i) {
      tokens_.push_back(static_cast<model::TokenId>(
          random.Below(static_cast<uint64_t>(executor.shape().vocab_size))));
    }
  }

  // `tokens` of each sequence in one step; seconds.
  double Step(int64_t position, int64_t tokens) {
    StepInput input;
    for (const auto& blocks : blocks_) {
      input.slices.push_back({.tokens = std::span(tokens_).subspan(static_cast<size_t>(position),
                                                                   static_cast<size_t>(tokens)),
                              .position = position,
                              .blocks = blocks,
                              .logits = 1});
      operations_ += executor_.shape().Flops(input.slices.back());
    }
    const Stopwatch watch;
    const auto output = executor_.Run(input);
    if (!output.ok()) fmt::print(stderr, "{}\n", std::string(output.status().message()));
    return watch.seconds();
  }

  // That the steps since the last call needed.
  double TakeOperations() { return std::exchange(operations_, 0); }

 private:
  Executor& executor_;
  double operations_ = 0;
  std::vector<std::vector<BlockId>> blocks_;
  std::vector<model::TokenId> tokens_;
};

// Bytes and operations that a step of `sequences` needs at position `position`, and what of the
// ceilings a measured time makes use of.
void Report(const char* what, int64_t tokens, double seconds, double operations, double bytes,
            double flops_ceiling, const Ceilings& ceilings) {
  fmt::print("  {:<34} {:>8.1f} tok/s   {:>5.1f} % of operations, {:>5.1f} % of bandwidth\n", what,
             static_cast<double>(tokens) / seconds, 100 * operations / seconds / flops_ceiling,
             100 * bytes / seconds / ceilings.read_bytes_per_second);
}

absl::StatusOr<std::unique_ptr<Executor>> Open(const std::string& device, const std::string& folder,
                                               const std::string& type) {
#ifdef LR_BENCH_TORCH
  if (device != "cpu") {
    return OpenTorchExecutor(folder,
                             {.device = device == "torch:cpu" ? "cpu" : device, .weights = type});
  }
#endif
  if (device != "cpu") return absl::InvalidArgumentError("built without libtorch: cpu is right");
  CpuOptions options;
  options.weights = type == "f32"    ? CpuWeightType::kF32
                    : type == "bf16" ? CpuWeightType::kBF16
                                     : CpuWeightType::kInt8;
  return OpenCpuExecutor(folder, options);
}

absl::StatusOr<Ceilings> CeilingsOf(const std::string& device) {
#ifdef LR_BENCH_TORCH
  // On the same CPU the same ceilings, whatever computes.
  if (HasOwnMemory(device)) return MeasureTorchCeilings(device, 0);
#endif
  return MeasureCeilings(0);
}

absl::Status Measure(const std::string& device, const std::string& folder, const std::string& type,
                     const Ceilings& ceilings) {
  const KvType kv = type == "f32" ? KvType::kF32 : KvType::kBF16;
  const double peak =
      type == "f32" ? ceilings.f32_flops_per_second : ceilings.bf16_flops_per_second;
  LR_ASSIGN_OR_RETURN(auto executor, Open(device, folder, type));
  const ModelShape& shape = executor->shape();
  fmt::print("{}: {:.0f} MB of weights\n", type, static_cast<double>(shape.weight_bytes) / 1e6);
  constexpr int64_t kMostSequences = 32;
  LR_RETURN_IF_ERROR(executor->AllocateCache(kMostSequences * shape.context / 16, 16, kv));
  const double weights = static_cast<double>(shape.weight_bytes_per_step);
  const double kv_bytes = static_cast<double>(shape.KvBytesPerToken(kv));
  Runner alone(*executor, 1);
  alone.Step(0, 512);
  alone.TakeOperations();
  double best = 1e9;
  for (int i = 0; i < 3; ++i) best = std::min(best, alone.Step(0, 512));
  Report("prompt of 512", 512, best, alone.TakeOperations() / 3, weights, peak, ceilings);
  alone.Step(0, 1);
  alone.TakeOperations();
  double seconds = 0;
  for (int64_t i = 1; i <= 128; ++i) seconds += alone.Step(i, 1);
  Report("decode alone, 128 tokens", 128, seconds, alone.TakeOperations(),
         128 * (weights + 64 * kv_bytes), peak, ceilings);
  for (const int64_t n : {8, 16, 32}) {
    Runner many(*executor, n);
    const double prefill = many.Step(0, 128);
    const double s = static_cast<double>(n);
    Report(fmt::format("{} sequences: prompts of 128", n).c_str(), n * 128, prefill,
           many.TakeOperations(), weights, peak, ceilings);
    seconds = 0;
    for (int64_t i = 0; i < 64; ++i) seconds += many.Step(128 + i, 1);
    Report(fmt::format("{} sequences: 64 tokens each", n).c_str(), n * 64, seconds,
           many.TakeOperations(), 64 * (weights + s * 160 * kv_bytes), peak, ceilings);
  }
  return absl::OkStatus();
}

absl::Status Main(std::vector<std::string> arguments) {
  std::string device = "cpu";
  if (arguments.size() >= 2 && arguments[0] == "--device") {
    device = arguments[1];
    arguments.erase(arguments.begin(), arguments.begin() + 2);
  }
  if (arguments.empty()) {
    return absl::InvalidArgumentError(
        "serving_throughput [--device D] FOLDER [TYPE …]: which model? "
        "bench/random_gpt2.py FOLDER writes one");
  }
  const std::string folder = arguments[0];
  arguments.erase(arguments.begin());
  if (arguments.empty() && device != "cpu") arguments = {"bf16", "f32"};
  if (arguments.empty()) arguments = {"bf16", "f32", "int8"};
  LR_ASSIGN_OR_RETURN(const Ceilings ceilings, CeilingsOf(device));
  fmt::print("{}, {} threads: reads {:.1f} GB/s, bf16 {:.0f} GFLOP/s, f32 {:.0f} GFLOP/s\n", device,
             UsableCpus(), ceilings.read_bytes_per_second / 1e9,
             ceilings.bf16_flops_per_second / 1e9, ceilings.f32_flops_per_second / 1e9);
  for (const std::string& type : arguments)
    LR_RETURN_IF_ERROR(Measure(device, folder, type, ceilings));
  return absl::OkStatus();
}

}  // namespace
}  // namespace longrun::serving

int main(int argc, char** argv) {
  const absl::Status status = longrun::serving::Main({argv + 1, argv + argc});
  if (!status.ok()) fmt::print(stderr, "{}\n", std::string(status.message()));
  return status.ok() ? 0 : 1;
}
