#include "serving/execute/cpu_executor.h"

#include <fmt/core.h>
#include <sched.h>

#include <algorithm>
#include <utility>

#include "model/safetensors.h"
#include "serving/execute/check_step.h"
#include "serving/execute/cpu_step.h"
#include "serving/execute/cpu_weights.h"
#include "serving/execute/kernels.h"
#include "serving/execute/model_config.h"
#include "serving/execute/paged_cache.h"
#include "serving/execute/thread_pool.h"

namespace longrun::serving {
namespace {

ModelShape ShapeOf(const ModelConfig& c, const CpuWeights& w, WeightType type) {
  ModelShape shape = ShapeOf(c);
  shape.f32_weights = type == WeightType::kF32;
  shape.parameters = w.parameters;
  shape.weight_bytes = shape.weight_bytes_per_step = w.packed_bytes;
  return shape;
}

class CpuExecutor : public Executor {
 public:
  CpuExecutor(ModelConfig config, const Kernels& kernels, WeightType type,
              std::unique_ptr<ThreadPool> pool, std::unique_ptr<CpuWeights> weights)
      : config_(std::move(config)),
        pool_(std::move(pool)),
        weights_(std::move(weights)),
        shape_(ShapeOf(config_, *weights_, type)),
        step_(config_, *weights_, type, kernels, *pool_) {}

  const ModelShape& shape() const override { return shape_; }

  absl::Status AllocateCache(int64_t blocks, int64_t block_tokens, KvType type) override {
    if (cache_.blocks() > 0) return absl::FailedPreconditionError("the cache is allocated already");
    LR_ASSIGN_OR_RETURN(cache_, PagedCache::Allocate(shape_, blocks, block_tokens, type));
    return absl::OkStatus();
  }

  int64_t ActivationBytes(int64_t tokens, int64_t logits) const override {
    return step_.BufferBytes(tokens, logits);
  }

  // A wrong step is refused before anything is written, so that the server lives on.
  absl::StatusOr<StepOutput> Run(const StepInput& input) override {
    LR_RETURN_IF_ERROR(CheckStep(
        input, shape_, {.blocks = cache_.blocks(), .block_tokens = cache_.block_tokens()}));
    for (const BlockCopy& copy : input.copies) cache_.Copy(copy);
    return step_.Run(input.slices, cache_);
  }

  void ForEach(int64_t units, absl::FunctionRef<void(int64_t)> work) override {
    pool_->ForEach(units, [&](int64_t unit, int) { work(unit); });
  }

 private:
  const ModelConfig config_;
  const std::unique_ptr<ThreadPool> pool_;
  const std::unique_ptr<CpuWeights> weights_;
  const ModelShape shape_;
  PagedCache cache_;
  CpuStep step_;
};

absl::StatusOr<const Kernels*> FindKernels(const std::string& name) {
  std::string known;
  for (const Kernels* kernels : UsableKernels()) {
    if (name.empty() || name == kernels->name) return kernels;
    known += (known.empty() ? "" : ", ") + std::string(kernels->name);
  }
  return absl::InvalidArgumentError(
      fmt::format("instructions: '{}' is not among this machine's: {}", name, known));
}

WeightType Choose(CpuWeightType wanted, const model::SafetensorsModel& files) {
  switch (wanted) {
    case CpuWeightType::kF32:
      return WeightType::kF32;
    case CpuWeightType::kBF16:
      return WeightType::kBF16;
    case CpuWeightType::kInt8:
      return WeightType::kInt8;
    case CpuWeightType::kAuto:
      break;
  }
  return TypeOfFiles(files);
}

}  // namespace

int UsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(CPU_COUNT(&set), 1);
}

absl::StatusOr<std::unique_ptr<Executor>> OpenCpuExecutor(const std::string& folder,
                                                          const CpuOptions& options) {
  constexpr int kMostThreads = 1024;
  if (options.threads < 0 || options.threads > kMostThreads) {
    return absl::InvalidArgumentError(fmt::format(
        "threads: {} is out of range; 0 (all CPUs) to {} is right", options.threads, kMostThreads));
  }
  LR_ASSIGN_OR_RETURN(const Kernels* kernels, FindKernels(options.instructions));
  LR_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(folder, options.context));
  if (config.heads / config.kv_heads > kQueryRows) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {} heads share a key; at most {} are supported", folder,
                    config.heads / config.kv_heads, kQueryRows));
  }
  LR_ASSIGN_OR_RETURN(model::SafetensorsModel files, model::SafetensorsModel::Open(folder));
  const WeightType type = Choose(options.weights, files);
  auto pool = std::make_unique<ThreadPool>(options.threads > 0 ? options.threads : UsableCpus());
  LR_ASSIGN_OR_RETURN(std::unique_ptr<CpuWeights> weights,
                      LoadCpuWeights(std::make_unique<model::SafetensorsModel>(std::move(files)),
                                     config, type, *kernels, *pool));
  return std::make_unique<CpuExecutor>(std::move(config), *kernels, type, std::move(pool),
                                       std::move(weights));
}

}  // namespace longrun::serving
