// A model's weights as tensors on a device. Read-only once loaded; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "base/status.h"
#include "model/safetensors.h"
#include "serving/execute/model_config.h"

namespace longrun::serving {

struct TorchNorm {  // f32 [d_model]
  at::Tensor gamma;
  at::Tensor beta;  // undefined: none
};

struct TorchLinear {
  at::Tensor weight;  // [rows, k]
  at::Tensor bias;    // [rows]; undefined: none
};

struct TorchLayer {
  TorchNorm attention_norm;
  TorchLinear qkv;  // queries of all heads, keys, values
  TorchLinear out;
  TorchNorm mlp_norm;
  TorchLinear up;  // Llama: gate, then up
  TorchLinear down;
};

struct TorchWeights {
  at::Tensor tokens;     // [vocab_size, d_model]
  at::Tensor positions;  // [context, d_model]; undefined for rotary positions
  std::vector<TorchLayer> layers;
  TorchNorm last_norm;
  TorchLinear head;  // a tied one shares its memory with `tokens`

  int64_t parameters = 0;
  int64_t bytes = 0;
  int64_t looked_up_bytes = 0;  // of `bytes`: embeddings that no product reads
};

// Matrices in `type`, norms in f32. Errors as LoadCpuWeights has them, and a value that `type` does
// not hold is one. Throws what libtorch throws.
absl::StatusOr<std::unique_ptr<TorchWeights>> LoadTorchWeights(const model::SafetensorsModel& files,
                                                               const ModelConfig& config,
                                                               at::Device device,
                                                               at::ScalarType type);

}  // namespace longrun::serving
