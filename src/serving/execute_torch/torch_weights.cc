#include "serving/execute_torch/torch_weights.h"

#include <fmt/core.h>

#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "serving/execute/kernels.h"
#include "serving/execute/tensor_source.h"
#include "serving/execute/weight_names.h"

namespace longrun::serving {
namespace {

at::ScalarType TypeOf(model::DType dtype) {
  switch (dtype) {
    case model::DType::kF32:
      return at::kFloat;
    case model::DType::kF16:
      return at::kHalf;
    case model::DType::kBF16:
      return at::kBFloat16;
    default:
      LR_CHECK(false);  // TensorSource lets none of these through
      return at::kFloat;
  }
}

class Loader {
 public:
  Loader(const model::SafetensorsModel& files, const ModelConfig& config, at::Device device,
         at::ScalarType type, TorchWeights* to)
      : config_(config),
        device_(device),
        type_(type),
        to_(to),
        source_(files, *UsableKernels().front(), EndNames(config).prefix) {}

  absl::Status Load() {
    const NamedEnds ends = EndNames(config_);
    const int64_t d = config_.d_model;
    LR_ASSIGN_OR_RETURN(to_->tokens, Matrix(ends.tokens, {config_.vocab_size, d}));
    if (!ends.positions.empty()) {
      LR_ASSIGN_OR_RETURN(to_->positions, Matrix(ends.positions, {config_.positions, d}));
      to_->looked_up_bytes += BytesOf(to_->positions);
    }
    to_->layers.resize(static_cast<size_t>(config_.layers));
    for (int64_t i = 0; i < config_.layers; ++i) {
      LR_RETURN_IF_ERROR(Layer(LayerNames(config_, i), &to_->layers[static_cast<size_t>(i)]));
    }
    LR_RETURN_IF_ERROR(Norm(ends.last_norm, &to_->last_norm));
    LR_RETURN_IF_ERROR(source_.Head(config_).status());
    if (config_.tied_head) {
      to_->head.weight = to_->tokens;
    } else {
      LR_ASSIGN_OR_RETURN(to_->head.weight, Matrix(ends.head, {config_.vocab_size, d}));
      to_->looked_up_bytes += BytesOf(to_->tokens);
    }
    return source_.CheckAllUsed(NeedlessNames());
  }

 private:
  static int64_t BytesOf(const at::Tensor& t) {
    return t.numel() * static_cast<int64_t>(t.element_size());
  }

  void Count(const at::Tensor& t) {
    to_->parameters += t.numel();
    to_->bytes += BytesOf(t);
  }

  // From the mapped file to the device; the copy on the host is of this tensor alone.
  absl::StatusOr<at::Tensor> Read(const std::string& name, const std::vector<int64_t>& shape) {
    LR_ASSIGN_OR_RETURN(const model::TensorView* view, source_.Get(name, shape));
    at::Tensor host = at::empty(shape, TypeOf(view->dtype));
    std::memcpy(host.data_ptr(), view->bytes.data(), view->bytes.size());  // may lie unaligned
    at::Tensor t = host.to(device_, type_);
    // One that is not finite makes the sum so; a sum of large ones may be infinite by itself.
    const bool finite = std::isfinite(t.sum(at::kFloat).item<float>()) ||
                        t.to(at::kFloat).isfinite().all().item<bool>();
    if (!finite) {
      return source_.Fail(name, fmt::format("holds a value that is not finite as {}",
                                            std::string(c10::toString(type_))));
    }
    return t;
  }

  absl::StatusOr<at::Tensor> Matrix(const std::string& name, const std::vector<int64_t>& shape) {
    LR_ASSIGN_OR_RETURN(at::Tensor t, Read(name, shape));
    Count(t);
    return t;
  }

  at::Tensor Send(const std::vector<float>& values, at::ScalarType type) {
    at::Tensor t = at::empty({static_cast<int64_t>(values.size())}, at::kFloat);
    std::memcpy(t.data_ptr(), values.data(), values.size() * sizeof(float));
    t = t.to(device_, type);
    Count(t);
    return t;
  }

  absl::Status Norm(const std::string& stem, TorchNorm* to) {
    LR_ASSIGN_OR_RETURN(const std::vector<float> gamma,
                        source_.Vector(stem + ".weight", config_.d_model));
    to->gamma = Send(gamma, at::kFloat);
    if (config_.llama()) return absl::OkStatus();
    LR_ASSIGN_OR_RETURN(const std::vector<float> beta,
                        source_.Bias(stem + ".bias", config_.d_model, config_.attention_bias));
    if (!beta.empty()) to->beta = Send(beta, at::kFloat);
    return absl::OkStatus();
  }

  absl::Status Linear(const NamedLinear& named, TorchLinear* to) {
    std::vector<at::Tensor> weights;
    std::vector<float> biases;
    for (const auto& [stem, rows] : named.parts) {
      const bool turned = StoredTransposed(config_);
      LR_ASSIGN_OR_RETURN(const at::Tensor stored,
                          Read(stem + ".weight", turned ? std::vector<int64_t>{named.k, rows}
                                                        : std::vector<int64_t>{rows, named.k}));
      weights.push_back(turned ? stored.t().contiguous() : stored);
      LR_ASSIGN_OR_RETURN(const std::vector<float> bias,
                          source_.Bias(stem + ".bias", rows, named.bias));
      biases.insert(biases.end(), bias.begin(), bias.end());
    }
    to->weight = weights.size() == 1 ? weights[0] : at::cat(weights);
    Count(to->weight);
    if (!biases.empty()) to->bias = Send(biases, type_);
    return absl::OkStatus();
  }

  absl::Status Layer(const NamedLayer& named, TorchLayer* to) {
    LR_RETURN_IF_ERROR(Norm(named.attention_norm, &to->attention_norm));
    LR_RETURN_IF_ERROR(Linear(named.qkv, &to->qkv));
    LR_RETURN_IF_ERROR(Linear(named.out, &to->out));
    LR_RETURN_IF_ERROR(Norm(named.mlp_norm, &to->mlp_norm));
    LR_RETURN_IF_ERROR(Linear(named.up, &to->up));
    return Linear(named.down, &to->down);
  }

  const ModelConfig& config_;
  const at::Device device_;
  const at::ScalarType type_;
  TorchWeights* const to_;
  TensorSource source_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TorchWeights>> LoadTorchWeights(const model::SafetensorsModel& files,
                                                               const ModelConfig& config,
                                                               at::Device device,
                                                               at::ScalarType type) {
  auto weights = std::make_unique<TorchWeights>();
  LR_RETURN_IF_ERROR(Loader(files, config, device, type, weights.get()).Load());
  return weights;
}

}  // namespace longrun::serving
