// A step of the model in tensors: the way through the layers. Owned and called by TorchExecutor,
// one thread at a time. All throw what libtorch throws.
//
// Sizes in comments: n rows (tokens of all slices), d d_model, q heads · head_dim, kv
// kv_heads · head_dim. What is not said otherwise is f32.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <torch/torch.h>

#include "serving/execute/executor.h"
#include "serving/execute/model_config.h"
#include "serving/execute_torch/torch_attention.h"
#include "serving/execute_torch/torch_cache.h"
#include "serving/execute_torch/torch_weights.h"

namespace longrun::serving {

class TorchStep {
 public:
  // All outlive it.
  TorchStep(const ModelConfig& config, const TorchWeights& weights, at::Device device,
            at::ScalarType type);

  // `slices` are valid for the model and the cache, and not none.
  StepOutput Run(std::span<const Slice> slices, TorchCache& cache);

  // What so many rows need at most beside weights and cache.
  int64_t BufferBytes(int64_t tokens, int64_t logits) const;

 private:
  // Where the step's rows come from and go to, as tensors on the device.
  struct Rows {
    at::Tensor tokens, positions;  // [n], int64
    at::Tensor slots;              // [n · kv_heads]: of the cache
    at::Tensor kept;               // rows whose logits or states are asked for
    at::Tensor asked, states;      // which of those
    std::vector<AttentionGroup> groups;
    at::Tensor cosine, sine;  // [n, 1, head_dim / 2]; undefined: learned positions
  };

  Rows Plan(std::span<const Slice> slices, CacheSize size) const;
  at::Tensor Embed(const Rows& rows) const;                                // [n, d]
  at::Tensor Norm(const TorchNorm& norm, const at::Tensor& x) const;       // [n, d]
  at::Tensor Apply(const TorchLinear& linear, const at::Tensor& x) const;  // of the weights' type
  at::Tensor Turn(const Rows& rows, const at::Tensor& x) const;            // [n, heads, head_dim]
  at::Tensor Attend(int64_t layer, const Rows& rows, const at::Tensor& x, TorchCache& cache) const;
  at::Tensor Mlp(const TorchLayer& layer, const at::Tensor& x) const;

  const ModelConfig& config_;
  const TorchWeights& weights_;
  const at::Device device_;
  const at::ScalarType type_;
  const AttentionSizes sizes_;
  at::Tensor frequencies_;  // [head_dim / 2]

  at::Tensor logits_, states_;  // in host memory: the last step's
};

}  // namespace longrun::serving
