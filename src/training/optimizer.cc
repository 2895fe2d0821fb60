#include "training/optimizer.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/check.h"
#include "training/optimizer_loops.h"

namespace longrun::training {
namespace {

constexpr std::pair<OptimizerKind, const char*> kNames[] = {
    {OptimizerKind::kSgd, "sgd"},         {OptimizerKind::kMomentum, "momentum"},
    {OptimizerKind::kAdaGrad, "adagrad"}, {OptimizerKind::kRmsProp, "rmsprop"},
    {OptimizerKind::kAdam, "adam"},       {OptimizerKind::kAdamW, "adamw"}};

constexpr int64_t kChunk = 1 << 15;  // floats: a thread's piece of work, a few pages of each buffer

std::vector<std::string> StateNames(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::kSgd:
      return {};
    case OptimizerKind::kMomentum:
      return {"momentum"};
    case OptimizerKind::kAdaGrad:
      return {"sum"};
    case OptimizerKind::kRmsProp:
      return {"square_avg"};
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      return {"exp_avg", "exp_avg_sq"};
  }
  return {};
}

// One update, of slices of the flat buffers.
struct Update {
  const OptimizerConfig& config;
  double lr;
  double scale;
  int64_t step;  // from 1

  double coupled_decay(bool decay) const {
    return decay && config.kind != OptimizerKind::kAdamW ? config.weight_decay : 0;
  }
  double decoupled_decay(bool decay) const {
    return decay && config.kind == OptimizerKind::kAdamW ? config.weight_decay : 0;
  }
  double correction1() const { return 1 - std::pow(config.beta1, static_cast<double>(step)); }
  double correction2() const { return 1 - std::pow(config.beta2, static_cast<double>(step)); }

  // s1, s2: the kind's state, or null.
  void Loop(float* p, const float* g, float* s1, float* s2, int64_t n, bool decay) const;
  void Tensors(at::Tensor p, const at::Tensor& g, const std::vector<at::Tensor>& s,
               bool decay) const;
};

void Update::Loop(float* p, const float* g, float* s1, float* s2, int64_t n, bool decay) const {
  const float rate = static_cast<float>(lr);
  const float coupled = static_cast<float>(coupled_decay(decay));
  const float scaling = static_cast<float>(scale);
  const float epsilon = static_cast<float>(config.epsilon);
  switch (config.kind) {
    case OptimizerKind::kSgd:
      return loops::Sgd(p, g, n, rate, coupled, scaling);
    case OptimizerKind::kMomentum:
      return loops::Momentum(p, g, s1, n, rate, static_cast<float>(config.momentum),
                             config.nesterov, step == 1, coupled, scaling);
    case OptimizerKind::kAdaGrad:
      return loops::AdaGrad(p, g, s1, n, rate, epsilon, coupled, scaling);
    case OptimizerKind::kRmsProp:
      return loops::RmsProp(p, g, s1, n, rate, static_cast<float>(config.alpha), epsilon, coupled,
                            scaling);
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      return loops::Adam(p, g, s1, s2, n,
                         {.lr = rate,
                          .beta1 = static_cast<float>(config.beta1),
                          .beta2 = static_cast<float>(config.beta2),
                          .epsilon = epsilon,
                          .correction1 = static_cast<float>(correction1()),
                          .sqrt_correction2 = static_cast<float>(std::sqrt(correction2())),
                          .coupled_decay = coupled,
                          .decoupled_decay = static_cast<float>(decoupled_decay(decay)),
                          .scale = scaling});
  }
}

void Update::Tensors(at::Tensor p, const at::Tensor& g, const std::vector<at::Tensor>& s,
                     bool decay) const {
  at::Tensor d = g * scale;
  if (coupled_decay(decay) != 0) d.add_(p, coupled_decay(decay));
  switch (config.kind) {
    case OptimizerKind::kSgd:
      p.sub_(d, lr);
      return;
    case OptimizerKind::kMomentum: {
      at::Tensor m = s[0];
      m.mul_(step == 1 ? 0.0 : config.momentum).add_(d);
      if (config.nesterov) p.sub_(d, lr);
      p.sub_(m, config.nesterov ? lr * config.momentum : lr);
      return;
    }
    case OptimizerKind::kAdaGrad: {
      at::Tensor sum = s[0];
      sum.addcmul_(d, d);
      p.addcdiv_(d, sum.sqrt().add_(config.epsilon), -lr);
      return;
    }
    case OptimizerKind::kRmsProp: {
      at::Tensor v = s[0];
      v.mul_(config.alpha).addcmul_(d, d, 1 - config.alpha);
      p.addcdiv_(d, v.sqrt().add_(config.epsilon), -lr);
      return;
    }
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW: {
      at::Tensor m = s[0], v = s[1];
      m.mul_(config.beta1).add_(d, 1 - config.beta1);
      v.mul_(config.beta2).addcmul_(d, d, 1 - config.beta2);
      p.mul_(1 - lr * decoupled_decay(decay));
      p.addcdiv_(m, v.sqrt().div_(std::sqrt(correction2())).add_(config.epsilon),
                 -lr / correction1());
      return;
    }
  }
}

// A run of the flat buffer that is treated alike.
struct Segment {
  int64_t begin, end;
  bool decay;
};

std::vector<Segment> Segments(const model::FlatParameters& parameters) {
  std::vector<Segment> segments;
  const auto& slots = parameters.slots();
  for (size_t i = 0; i < slots.size(); ++i) {
    const int64_t end = i + 1 < slots.size() ? slots[i + 1].offset : parameters.size();
    if (!segments.empty() && segments.back().decay == slots[i].decay) {
      segments.back().end = end;
    } else {
      segments.push_back({slots[i].offset, end, slots[i].decay});
    }
  }
  return segments;
}

}  // namespace

absl::StatusOr<OptimizerKind> ParseOptimizerKind(const std::string& name) {
  for (const auto& [kind, kind_name] : kNames) {
    if (name == kind_name) return kind;
  }
  return absl::InvalidArgumentError(
      "optimizer '" + name +
      "' is not known; sgd, momentum, adagrad, rmsprop, adam or adamw is right");
}

std::string OptimizerKindName(OptimizerKind kind) {
  for (const auto& [candidate, name] : kNames) {
    if (candidate == kind) return name;
  }
  return "";
}

Optimizer::Optimizer(const OptimizerConfig& config, model::FlatParameters* parameters, bool fused)
    : config_(config), parameters_(parameters), fused_(fused && parameters->device().is_cpu()) {
  for (const std::string& name : StateNames(config.kind)) {
    state_.emplace_back(name, at::zeros_like(parameters->values()));
  }
}

void Optimizer::Step(double lr, double gradient_scale) {
  ++steps_;
  const Update update{config_, lr, gradient_scale, steps_};
  const at::NoGradGuard no_grad;
  for (const Segment& segment : Segments(*parameters_)) {
    const int64_t count = segment.end - segment.begin;
    if (!fused_) {
      std::vector<at::Tensor> state;
      for (const auto& entry : state_) {
        state.push_back(entry.second.narrow(0, segment.begin, count));
      }
      update.Tensors(parameters_->values().narrow(0, segment.begin, count),
                     parameters_->gradients().narrow(0, segment.begin, count), state,
                     segment.decay);
      continue;
    }
    float* p = parameters_->values().data_ptr<float>() + segment.begin;
    const float* g = parameters_->gradients().data_ptr<float>() + segment.begin;
    float* s1 = state_.empty() ? nullptr : state_[0].second.data_ptr<float>() + segment.begin;
    float* s2 = state_.size() < 2 ? nullptr : state_[1].second.data_ptr<float>() + segment.begin;
    const int64_t chunks = (count + kChunk - 1) / kChunk;
    at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
      for (int64_t at = first * kChunk; at < std::min(last * kChunk, count); at += kChunk) {
        const int64_t n = std::min(kChunk, count - at);
        update.Loop(p + at, g + at, s1 ? s1 + at : nullptr, s2 ? s2 + at : nullptr, n,
                    segment.decay);
      }
    });
  }
}

}  // namespace longrun::training
