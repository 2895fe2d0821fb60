#include "model/gpt.h"

#include <cmath>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "model/gpt_state.h"

namespace longrun::model {
namespace {

constexpr double kInitStd = 0.02;

std::vector<ParameterSlot> SlotsOf(const GptConfig& config) {
  const int64_t c = config.d_model;
  std::vector<ParameterSlot> slots;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    slots.push_back({.name = name, .shape = std::move(shape)});
  };
  const auto norm = [&](const std::string& name) {
    add(name + ".weight", {c});
    if (config.bias) add(name + ".bias", {c});
  };
  const auto linear = [&](const std::string& name, int64_t in, int64_t out) {
    add(name + ".weight", {in, out});
    if (config.bias) add(name + ".bias", {out});
  };
  add("wte.weight", {config.vocab_size, c});
  add("wpe.weight", {config.context, c});
  for (int64_t l = 0; l < config.layers; ++l) {
    const std::string h = "h." + std::to_string(l);
    norm(h + ".ln_1");
    linear(h + ".attn.c_attn", c, 3 * c);
    linear(h + ".attn.c_proj", c, c);
    norm(h + ".ln_2");
    linear(h + ".mlp.c_fc", c, config.d_ff());
    linear(h + ".mlp.c_proj", config.d_ff(), c);
  }
  norm("ln_f");
  return slots;
}

// Chunks draw from generators of their own, so that threads may share the work.
void FillNormal(float* to, int64_t n, double std, uint64_t seed) {
  constexpr int64_t kChunk = 1 << 14;
  at::parallel_for(0, (n + kChunk - 1) / kChunk, 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; ++chunk) {
      Random random(Mix64(seed + static_cast<uint64_t>(chunk)));
      for (int64_t i = chunk * kChunk; i < std::min(n, (chunk + 1) * kChunk); ++i) {
        to[i] = static_cast<float>(random.Normal() * std);
      }
    }
  });
}

void Initialise(const GptConfig& config, uint64_t seed, FlatParameters* flat) {
  at::Tensor values = at::zeros({flat->size()}, at::kFloat);
  const double residual_std = kInitStd / std::sqrt(2.0 * static_cast<double>(config.layers));
  uint64_t slot_seed = Mix64(seed);
  for (const ParameterSlot& slot : flat->slots()) {
    slot_seed = Mix64(slot_seed + 1);
    float* to = values.data_ptr<float>() + slot.offset;
    if (slot.decay) {
      const bool residual = slot.name.ends_with("c_proj.weight");
      FillNormal(to, slot.count, residual ? residual_std : kInitStd, slot_seed);
    } else if (slot.name.ends_with(".weight")) {
      std::fill(to, to + slot.count, 1.0f);
    }
  }
  flat->values().copy_(values);
}

}  // namespace

Gpt::Gpt(const GptConfig& config, at::Device device, uint64_t seed, Precision precision,
         std::unique_ptr<Ops> ops)
    : config_(config),
      precision_(precision),
      flat_(SlotsOf(config), device),
      ops_(ops != nullptr    ? std::move(ops)
           : device.is_cpu() ? MakeCpuOps()
                             : MakeTensorOps()),
      weights_(std::make_unique<Weights>()),
      activations_(std::make_unique<Activations>()) {
  LR_CHECK(config.Validate().ok());
  const at::NoGradGuard no_grad;
  Initialise(config_, seed, &flat_);
}

Gpt::~Gpt() = default;

at::Tensor Gpt::Extend(const at::Tensor& tokens, KvCache* cache) {
  const at::NoGradGuard no_grad;
  const int64_t n = tokens.numel(), heads = config_.heads, dim = config_.head_dim();
  const int64_t begin = cache->length, end = begin + n;
  LR_CHECK_GE(n, 1);
  LR_CHECK_LE(end, config_.context);
  const auto options = flat_.values().options();
  if (cache->keys.empty()) {
    for (int64_t l = 0; l < config_.layers; ++l) {
      cache->keys.push_back(at::zeros({heads, config_.context, dim}, options));
      cache->values.push_back(at::zeros({heads, config_.context, dim}, options));
    }
  }
  weights_->Bind(config_, flat_, Precision::kF32, *ops_, true);
  const auto norm = [&](const at::Tensor& x, const Weights::Norm& w) {
    return at::layer_norm(x, {config_.d_model}, w.gamma, w.beta, config_.layer_norm_epsilon);
  };
  const auto linear = [](const at::Tensor& x, const Weights::Linear& w) {
    return w.bias.defined() ? at::addmm(w.bias, x, w.weight) : at::mm(x, w.weight);
  };
  const at::Tensor ids = tokens.to(flat_.device(), at::kLong).view({n});
  at::Tensor x = weights_->wte.index_select(0, ids) + weights_->wpe.narrow(0, begin, n);  // [n, C]
  // later[i, j]: key j lies after query begin + i.
  const at::Tensor later = at::ones({n, end}, options.dtype(at::kBool)).triu(begin + 1);
  for (int64_t l = 0; l < config_.layers; ++l) {
    const Weights::Layer& w = weights_->layers[static_cast<size_t>(l)];
    const at::Tensor qkv =
        linear(norm(x, w.norm1), w.qkv).view({n, 3, heads, dim}).permute({1, 2, 0, 3});
    at::Tensor keys = cache->keys[static_cast<size_t>(l)].narrow(1, 0, end);
    at::Tensor values = cache->values[static_cast<size_t>(l)].narrow(1, 0, end);
    keys.narrow(1, begin, n).copy_(qkv[1]);
    values.narrow(1, begin, n).copy_(qkv[2]);
    const at::Tensor scores = at::matmul(qkv[0], keys.transpose(1, 2))
                                  .div(std::sqrt(static_cast<double>(dim)))
                                  .masked_fill(later, -INFINITY);
    const at::Tensor mixed = at::matmul(at::softmax(scores, -1), values);  // [heads, n, dim]
    x = x + linear(mixed.transpose(0, 1).reshape({n, config_.d_model}), w.out);
    x = x + linear(at::gelu(linear(norm(x, w.norm2), w.up), "tanh"), w.down);
  }
  cache->length = end;
  const at::Tensor last = norm(x.narrow(0, n - 1, 1), weights_->final_norm);
  return at::mm(last, weights_->wte.t()).view({-1}).to(at::kCPU);
}

}  // namespace longrun::model
