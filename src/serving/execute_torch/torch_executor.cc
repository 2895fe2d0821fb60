#include "serving/execute_torch/torch_executor.h"

#include <fmt/core.h>

#include <utility>

#include "model/safetensors.h"
#include "serving/execute/check_step.h"
#include "serving/execute/cpu_executor.h"
#include "serving/execute/cpu_weights.h"
#include "serving/execute/mapped_memory.h"
#include "serving/execute/model_config.h"
#include "serving/execute/thread_pool.h"
#include "serving/execute_torch/torch_cache.h"
#include "serving/execute_torch/torch_device.h"
#include "serving/execute_torch/torch_step.h"
#include "serving/execute_torch/torch_weights.h"

namespace longrun::serving {
namespace {

ModelShape ShapeWith(const ModelConfig& config, const TorchWeights& weights, at::ScalarType type) {
  ModelShape shape = ShapeOf(config);
  shape.f32_weights = type == at::kFloat;
  shape.parameters = weights.parameters;
  shape.weight_bytes = weights.bytes;
  shape.weight_bytes_per_step = weights.bytes - weights.looked_up_bytes;
  return shape;
}

class TorchExecutor : public Executor {
 public:
  TorchExecutor(ModelConfig config, std::unique_ptr<TorchWeights> weights, at::Device device,
                at::ScalarType type, int threads)
      : config_(std::move(config)),
        weights_(std::move(weights)),
        device_(device),
        shape_(ShapeWith(config_, *weights_, type)),
        step_(config_, *weights_, device, type),
        pool_(threads > 0 ? threads : UsableCpus()) {}

  const ModelShape& shape() const override { return shape_; }

  absl::Status AllocateCache(int64_t blocks, int64_t block_tokens, KvType type) override {
    if (cache_.size().blocks > 0) {
      return absl::FailedPreconditionError("the cache is allocated already");
    }
    const CacheSize size = {blocks, block_tokens};
    LR_RETURN_IF_ERROR(CheckCacheSize(shape_, size, type));
    if (device_.is_cpu()) {
      LR_RETURN_IF_ERROR(CheckAvailable(blocks * block_tokens * shape_.KvBytesPerToken(type),
                                        "the cache of keys and values"));
    }
    return Guarded("the cache of keys and values", [&] {
      cache_ = TorchCache(shape_, size, type, device_);
      return absl::OkStatus();
    });
  }

  int64_t ActivationBytes(int64_t tokens, int64_t logits) const override {
    return step_.BufferBytes(tokens, logits);
  }

  absl::StatusOr<StepOutput> Run(const StepInput& input) override {
    LR_RETURN_IF_ERROR(CheckStep(input, shape_, cache_.size()));
    return Guarded("a step", [&]() -> absl::StatusOr<StepOutput> {
      for (const BlockCopy& copy : input.copies) cache_.Copy(copy);
      if (input.slices.empty()) return StepOutput{};
      const StepOutput output = step_.Run(input.slices, cache_);
      // A step that asks for nothing ends here too: its time is measured, and its errors are its.
      if (device_.is_cuda()) torch::cuda::synchronize(device_.index());
      return output;
    });
  }

  void ForEach(int64_t units, absl::FunctionRef<void(int64_t)> work) override {
    pool_.ForEach(units, [&](int64_t unit, int) { work(unit); });
  }

  bool swaps() const override { return device_.is_cuda(); }

  absl::Status SwapOut(std::span<const BlockId> blocks, std::vector<std::byte>* to) override {
    LR_RETURN_IF_ERROR(CheckBlocks(blocks));
    return Guarded("blocks swapped out", [&] {
      cache_.Read(blocks, to);
      return absl::OkStatus();
    });
  }

  absl::Status SwapIn(std::span<const std::byte> from, std::span<const BlockId> blocks) override {
    LR_RETURN_IF_ERROR(CheckBlocks(blocks));
    return Guarded("blocks swapped in", [&] { return cache_.Write(from, blocks); });
  }

 private:
  absl::Status CheckBlocks(std::span<const BlockId> blocks) const {
    StepInput named;
    for (const BlockId block : blocks) named.copies.push_back({block, block});
    return CheckStep(named, shape_, cache_.size());
  }

  const ModelConfig config_;
  const std::unique_ptr<TorchWeights> weights_;
  const at::Device device_;
  const ModelShape shape_;
  TorchCache cache_;
  TorchStep step_;
  ThreadPool pool_;  // for what is done between steps; asleep during them
};

int64_t BytesAs(at::ScalarType type, const model::SafetensorsModel& files) {
  int64_t bytes = 0;
  for (const auto& [name, view] : files.tensors()) {
    bytes += static_cast<int64_t>(view.bytes.size()) / model::BytesOf(view.dtype) *
             static_cast<int64_t>(c10::elementSize(type));
  }
  return bytes;
}

absl::StatusOr<at::ScalarType> TypeOf(const std::string& name, at::Device device,
                                      const model::SafetensorsModel& files) {
  if (name == "auto") {
    return TypeOfFiles(files) == WeightType::kF32 ? at::kFloat : at::kBFloat16;
  }
  if (name == "f32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  if (name == "f16" && device.is_cuda()) return at::kHalf;
  if (name == "f16") {
    return absl::InvalidArgumentError(
        "weights: f16 is for CUDA devices (libtorch has no products of it on the CPU); f32 and "
        "bf16 are right here");
  }
  if (name == "int8") {
    return absl::InvalidArgumentError(
        "weights: int8 is for the device cpu alone; with libtorch auto, f32, bf16 and f16 are "
        "right");
  }
  return absl::InvalidArgumentError(
      fmt::format("weights: '{}' is not known; auto, f32, bf16 and f16 are right", name));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> OpenTorchExecutor(const std::string& folder,
                                                            const TorchExecutorOptions& options) {
  LR_ASSIGN_OR_RETURN(const at::Device device, FindDevice(options.device));
  LR_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(folder, options.context));
  LR_ASSIGN_OR_RETURN(const model::SafetensorsModel files, model::SafetensorsModel::Open(folder));
  LR_ASSIGN_OR_RETURN(const at::ScalarType type, TypeOf(options.weights, device, files));
  if (device.is_cpu()) {
    LR_RETURN_IF_ERROR(CheckAvailable(BytesAs(type, files), "the weights"));
  }
  UseThreads(options.threads, type);
  return Guarded("the weights", [&]() -> absl::StatusOr<std::unique_ptr<Executor>> {
    LR_ASSIGN_OR_RETURN(std::unique_ptr<TorchWeights> weights,
                        LoadTorchWeights(files, config, device, type));
    return std::make_unique<TorchExecutor>(std::move(config), std::move(weights), device, type,
                                           options.threads);
  });
}

}  // namespace longrun::serving
