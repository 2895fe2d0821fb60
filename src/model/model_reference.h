// GPT-2 once more, as plainly as it can be written, for tests to compare with: loops and doubles,
// and ATen operations under autograd.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "model/gpt.h"

namespace longrun::model {

// Small, with sides that are no multiple of any block or vector.
inline GptConfig OddConfig(bool bias = true) {
  GptConfig config;
  config.layers = 2;
  config.heads = 3;
  config.d_model = 21;
  config.context = 70;
  config.vocab_size = 37;
  config.bias = bias;
  return config;
}

// Parameters far from their initial zeros and ones, so that every one of them matters.
inline void Scramble(Gpt* gpt, double std = 0.1) {
  torch::manual_seed(7);
  at::Tensor values = gpt->flat().values();
  for (const ParameterSlot& slot : gpt->flat().slots()) {
    at::Tensor part = values.narrow(0, slot.offset, slot.count);
    part.add_(at::randn({slot.count}) * std);
  }
}

inline at::Tensor RandomTokens(const GptConfig& config, int64_t batch, int64_t length) {
  torch::manual_seed(11);
  return at::randint(config.vocab_size, {batch, length}, at::kLong);
}

// Logits [B, T, V] by autograd's operations on parameters that are leaves.
class AutogradGpt {
 public:
  explicit AutogradGpt(const Gpt& gpt) : config_(gpt.config()), flat_(gpt.flat()) {
    for (size_t i = 0; i < flat_.slots().size(); ++i) {
      parameters_.push_back(flat_.Value(static_cast<int64_t>(i)).clone().set_requires_grad(true));
    }
  }

  at::Tensor Parameter(const std::string& name) const {
    const int64_t slot = flat_.Find(name);
    return slot < 0 ? at::Tensor() : parameters_[static_cast<size_t>(slot)];
  }
  const std::vector<at::Tensor>& parameters() const { return parameters_; }

  at::Tensor Logits(const at::Tensor& tokens) const {
    const int64_t b = tokens.size(0), t = tokens.size(1), c = config_.d_model;
    at::Tensor x =
        at::embedding(Parameter("wte.weight"), tokens) + Parameter("wpe.weight").narrow(0, 0, t);
    const at::Tensor mask = at::ones({t, t}, at::kBool).triu(1);
    for (int64_t l = 0; l < config_.layers; ++l) {
      const std::string h = "h." + std::to_string(l);
      const auto qkv = Linear(Norm(x, h + ".ln_1"), h + ".attn.c_attn").split(c, 2);
      const auto heads = [&](const at::Tensor& y) {
        return y.view({b, t, config_.heads, config_.head_dim()}).transpose(1, 2);
      };
      const at::Tensor scores = at::matmul(heads(qkv[0]), heads(qkv[1]).transpose(2, 3)) /
                                std::sqrt(static_cast<double>(config_.head_dim()));
      const at::Tensor p = at::softmax(scores.masked_fill(mask, -INFINITY), -1);
      const at::Tensor y = at::matmul(p, heads(qkv[2])).transpose(1, 2).reshape({b, t, c});
      x = x + Linear(y, h + ".attn.c_proj");
      const at::Tensor up = Linear(Norm(x, h + ".ln_2"), h + ".mlp.c_fc");
      x = x + Linear(at::gelu(up, "tanh"), h + ".mlp.c_proj");
    }
    return at::matmul(Norm(x, "ln_f"), Parameter("wte.weight").t());
  }

  // Summed cross-entropy of tokens [B, T+1].
  at::Tensor Loss(const at::Tensor& tokens) const {
    const int64_t t = tokens.size(1) - 1;
    const at::Tensor logits = Logits(tokens.narrow(1, 0, t));
    return at::cross_entropy_loss(logits.view({-1, config_.vocab_size}),
                                  tokens.narrow(1, 1, t).reshape({-1}), {}, at::Reduction::Sum);
  }

 private:
  at::Tensor Norm(const at::Tensor& x, const std::string& name) const {
    return at::layer_norm(x, {config_.d_model}, Parameter(name + ".weight"),
                          Parameter(name + ".bias"), config_.layer_norm_epsilon);
  }
  at::Tensor Linear(const at::Tensor& x, const std::string& name) const {
    const at::Tensor y = at::matmul(x, Parameter(name + ".weight"));
    return config_.bias ? y + Parameter(name + ".bias") : y;
  }

  const GptConfig config_;
  const FlatParameters& flat_;
  std::vector<at::Tensor> parameters_;
};

}  // namespace longrun::model
