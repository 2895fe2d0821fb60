// The forward and backward pass, read top to bottom. N = B·T rows, C = d_model.
#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/random.h"
#include "model/gpt_state.h"

namespace longrun::model {
namespace {

at::ScalarType StorageOf(Precision precision) {
  return precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
}

// Each place that drops units has its own stream.
struct DropoutSites {
  double rate;
  uint64_t seed;

  Dropout At(int64_t site) const {
    return {.seed = static_cast<uint32_t>(Mix64(seed + static_cast<uint64_t>(site))), .rate = rate};
  }
  Dropout Embedding() const { return At(0); }
  Dropout Scores(int64_t layer) const { return At(3 * layer + 1); }
  Dropout AttentionBranch(int64_t layer) const { return At(3 * layer + 2); }
  Dropout MlpBranch(int64_t layer) const { return At(3 * layer + 3); }
};

void CheckTokens(const at::Tensor& tokens, const GptConfig& config, int64_t extra) {
  LR_CHECK(tokens.dim() == 2 && tokens.scalar_type() == at::kLong);
  LR_CHECK_GE(tokens.size(0), 1);
  LR_CHECK_GE(tokens.size(1), 1 + extra);
  LR_CHECK_LE(tokens.size(1), config.context + extra);
  if (!tokens.device().is_cpu()) return;  // would wait for the device; indexing there checks
  LR_CHECK_GE(tokens.min().item<int64_t>(), 0);
  LR_CHECK_LT(tokens.max().item<int64_t>(), config.vocab_size);
}

double Sum(const at::Tensor& losses) {
  const at::Tensor on_cpu = losses.to(at::kCPU);
  const float* p = on_cpu.data_ptr<float>();
  double sum = 0;
  for (int64_t i = 0; i < on_cpu.numel(); ++i) sum += p[i];
  return sum;
}

}  // namespace

void Gpt::Weights::Bind(const GptConfig& config, FlatParameters& flat, Precision precision,
                        Ops& ops, bool refresh) {
  at::Tensor storage = flat.values();
  if (precision == Precision::kBf16) {
    if (!half.defined()) half = at::empty_like(storage, storage.options().dtype(at::kBFloat16));
    if (refresh) ops.Cast(flat.values(), half);
    storage = half;
  }
  int64_t next = 0;  // slots are bound in the order of SlotsOf
  const auto norm = [&] {
    Norm n{.gamma = flat.Value(next), .beta = {}, .dgamma = flat.Gradient(next), .dbeta = {}};
    ++next;
    if (config.bias) {
      n.beta = flat.Value(next);
      n.dbeta = flat.Gradient(next++);
    }
    return n;
  };
  const auto linear = [&] {
    Linear w{.weight = flat.View(storage, next),
             .dweight = flat.Gradient(next),
             .bias = {},
             .dbias = {}};
    ++next;
    if (config.bias) {
      w.bias = flat.Value(next);
      w.dbias = flat.Gradient(next++);
    }
    return w;
  };
  const auto begin_of = [&](int64_t slot) {
    return flat.slots()[static_cast<size_t>(slot)].offset;
  };
  head = flat.View(storage, next);
  wte = flat.Value(next);
  dwte = flat.Gradient(next++);
  wpe = flat.Value(next);
  dwpe = flat.Gradient(next++);
  layers.clear();
  for (int64_t l = 0; l < config.layers; ++l) {
    Layer layer{};
    layer.begin = begin_of(next);
    layer.norm1 = norm();
    layer.qkv = linear();
    layer.out = linear();
    layer.norm2 = norm();
    layer.up = linear();
    layer.down = linear();
    layer.end = begin_of(next);
    layers.push_back(std::move(layer));
  }
  final_norm_begin = begin_of(next);
  final_norm = norm();
  LR_CHECK_EQ(static_cast<size_t>(next), flat.slots().size());
}

void Gpt::Activations::Shape(const GptConfig& config, at::Device device, at::ScalarType storage,
                             int64_t batch, int64_t length, bool training) {
  const int64_t n = batch * length, c = config.d_model;
  const auto need = [&](at::Tensor& t, at::ScalarType type, at::IntArrayRef shape) {
    if (!t.defined() || t.scalar_type() != type) {
      t = at::empty(shape, at::TensorOptions().dtype(type).device(device));
    } else if (t.sizes() != shape) {
      t.resize_(shape);
    }
  };
  const auto need_norm = [&](NormOutput& norm) {
    need(norm.y, storage, {n, c});
    need(norm.mean, at::kFloat, {n});
    need(norm.rstd, at::kFloat, {n});
  };
  layers.resize(static_cast<size_t>(config.layers));
  need(x0, at::kFloat, {n, c});
  for (Layer& layer : layers) {
    need(layer.x1, at::kFloat, {n, c});
    need(layer.x2, at::kFloat, {n, c});
    need_norm(layer.norm1);
    need_norm(layer.norm2);
    need(layer.qkv, storage, {n, 3 * c});
    need(layer.lse, at::kFloat, {batch, config.heads, length});
    need(layer.attention, storage, {n, c});
    need(layer.pre, storage, {n, config.d_ff()});
    need(layer.act, storage, {n, config.d_ff()});
  }
  need_norm(final_norm);
  need(branch, storage, {n, c});
  need(logits, storage, {n, config.vocab_size});
  need(losses, at::kFloat, {n});
  if (!training) return;
  need(dx, at::kFloat, {n, c});
  need(dbranch, storage, {n, c});
  need(dnorm, storage, {n, c});
  need(dattention, storage, {n, c});
  need(dqkv, storage, {n, 3 * c});
  need(dact, storage, {n, config.d_ff()});
  need(scratch, storage, {std::max(4 * c * c, config.vocab_size * c)});
}

void Gpt::Forward(const at::Tensor& inputs, bool training, uint64_t dropout_seed) {
  Weights& w = *weights_;
  Activations& a = *activations_;
  const int64_t batch = inputs.size(0);
  const double epsilon = config_.layer_norm_epsilon;
  const DropoutSites drop{training ? config_.dropout : 0.0, dropout_seed};
  a.Shape(config_, flat_.device(), StorageOf(precision_), batch, inputs.size(1), training);

  ops_->Embed(inputs, w.wte, w.wpe, drop.Embedding(), a.x0);
  ops_->AddNorm(a.x0, {}, {}, {}, w.layers[0].norm1.gamma, w.layers[0].norm1.beta, epsilon, {},
                a.layers[0].norm1);
  at::Tensor x = a.x0;
  for (int64_t l = 0; l < config_.layers; ++l) {
    const Weights::Layer& wl = w.layers[static_cast<size_t>(l)];
    Activations::Layer& al = a.layers[static_cast<size_t>(l)];
    ops_->Multiply(al.norm1.y, wl.qkv.weight, al.qkv);
    ops_->Attention(al.qkv, wl.qkv.bias, batch, config_.heads, drop.Scores(l), al.attention,
                    al.lse);
    ops_->Multiply(al.attention, wl.out.weight, a.branch);
    ops_->AddNorm(x, a.branch, wl.out.bias, drop.AttentionBranch(l), wl.norm2.gamma, wl.norm2.beta,
                  epsilon, al.x1, al.norm2);

    ops_->Multiply(al.norm2.y, wl.up.weight, al.pre);
    ops_->Gelu(al.pre, wl.up.bias, al.act);
    ops_->Multiply(al.act, wl.down.weight, a.branch);
    const bool last = l + 1 == config_.layers;
    const Weights::Norm& next = last ? w.final_norm : w.layers[static_cast<size_t>(l + 1)].norm1;
    ops_->AddNorm(al.x1, a.branch, wl.down.bias, drop.MlpBranch(l), next.gamma, next.beta, epsilon,
                  al.x2, last ? a.final_norm : a.layers[static_cast<size_t>(l + 1)].norm1);
    x = al.x2;
  }
  ops_->Multiply(a.final_norm.y, w.head.t(), a.logits);
}

// a.logits holds the gradient of the logits.
void Gpt::Backward(const at::Tensor& inputs, const BackwardOptions& options) {
  Weights& w = *weights_;
  Activations& a = *activations_;
  const int64_t batch = inputs.size(0);
  const bool accumulate = options.accumulate;
  const DropoutSites drop{config_.dropout, options.dropout_seed};
  const auto announce = [&](int64_t begin, int64_t end) {
    if (options.ready) options.ready(begin, end);
  };
  // Gradients of y = x·W: into dx_out (unless undefined) and W's slot.
  const auto linear = [&](const at::Tensor& dy, const at::Tensor& x, const Weights::Linear& layer,
                          at::Tensor dx_out) {
    ops_->Multiply(dy, layer.weight.t(), dx_out);
    ops_->MultiplyGradient(x.t(), dy, layer.dweight, accumulate, a.scratch);
  };

  ops_->Multiply(a.logits, w.head, a.dnorm);
  ops_->MultiplyGradient(a.logits.t(), a.final_norm.y, w.dwte, accumulate, a.scratch);
  const int64_t top = config_.layers - 1;
  ops_->NormBackward(
      a.dnorm, a.layers.back().x2, a.final_norm, w.final_norm.gamma, drop.MlpBranch(top), true,
      a.dx, a.dbranch,
      {w.final_norm.dgamma, w.final_norm.dbeta, w.layers.back().down.dbias, accumulate});
  announce(w.final_norm_begin, flat_.size());

  for (int64_t l = top; l >= 0; --l) {
    const Weights::Layer& wl = w.layers[static_cast<size_t>(l)];
    Activations::Layer& al = a.layers[static_cast<size_t>(l)];
    linear(a.dbranch, al.act, wl.down, a.dact);
    ops_->GeluBackward(al.pre, a.dact, {wl.up.dbias, accumulate});
    linear(a.dact, al.norm2.y, wl.up, a.dnorm);
    ops_->NormBackward(a.dnorm, al.x1, al.norm2, wl.norm2.gamma, drop.AttentionBranch(l), false,
                       a.dx, a.dbranch,
                       {wl.norm2.dgamma, wl.norm2.dbeta, wl.out.dbias, accumulate});

    linear(a.dbranch, al.attention, wl.out, a.dattention);
    ops_->AttentionBackward(al.qkv, wl.qkv.bias, batch, config_.heads, drop.Scores(l), al.attention,
                            al.lse, a.dattention, a.dqkv, {wl.qkv.dbias, accumulate});
    linear(a.dqkv, al.norm1.y, wl.qkv, a.dnorm);
    if (l > 0) {
      Weights::Layer& below = w.layers[static_cast<size_t>(l - 1)];
      ops_->NormBackward(a.dnorm, a.layers[static_cast<size_t>(l - 1)].x2, al.norm1, wl.norm1.gamma,
                         drop.MlpBranch(l - 1), false, a.dx, a.dbranch,
                         {wl.norm1.dgamma, wl.norm1.dbeta, below.down.dbias, accumulate});
    } else {
      ops_->NormBackward(a.dnorm, a.x0, al.norm1, wl.norm1.gamma, {}, false, a.dx, {},
                         {wl.norm1.dgamma, wl.norm1.dbeta, {}, accumulate});
    }
    announce(wl.begin, wl.end);
  }
  ops_->EmbedBackward(inputs, drop.Embedding(), a.dx, w.dwte, w.dwpe, accumulate);
  announce(0, w.layers.front().begin);
}

double Gpt::ForwardBackward(const at::Tensor& tokens, const BackwardOptions& options) {
  CheckTokens(tokens, config_, 1);
  const at::NoGradGuard no_grad;
  const at::Tensor here = tokens.to(flat_.device());
  const int64_t length = tokens.size(1) - 1;
  const at::Tensor inputs = here.narrow(1, 0, length).contiguous();
  const at::Tensor targets = here.narrow(1, 1, length).reshape({-1});
  weights_->Bind(config_, flat_, precision_, *ops_, !options.accumulate);
  Forward(inputs, true, options.dropout_seed);
  ops_->CrossEntropy(activations_->logits, targets, true, options.loss_scale, activations_->losses);
  Backward(inputs, options);
  return Sum(activations_->losses);
}

double Gpt::Evaluate(const at::Tensor& tokens) {
  CheckTokens(tokens, config_, 1);
  const at::NoGradGuard no_grad;
  const at::Tensor here = tokens.to(flat_.device());
  const int64_t length = tokens.size(1) - 1;
  weights_->Bind(config_, flat_, precision_, *ops_, true);
  Forward(here.narrow(1, 0, length).contiguous(), false, 0);
  ops_->CrossEntropy(activations_->logits, here.narrow(1, 1, length).reshape({-1}), false, 1,
                     activations_->losses);
  return Sum(activations_->losses);
}

at::Tensor Gpt::Logits(const at::Tensor& tokens) {
  CheckTokens(tokens, config_, 0);
  const at::NoGradGuard no_grad;
  weights_->Bind(config_, flat_, precision_, *ops_, true);
  Forward(tokens.to(flat_.device()).contiguous(), false, 0);
  return activations_->logits.to(at::kFloat)
      .view({tokens.size(0), tokens.size(1), config_.vocab_size})
      .clone();
}

}  // namespace longrun::model
