#include "serving/execute_torch/torch_step.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace longrun::serving {
namespace {

// Scores and gathered keys at a time: on the CPU what its caches hold, on a GPU what keeps it busy.
AttentionSizes SizesOf(const ModelConfig& c, at::Device device) {
  return {.heads = c.heads,
          .kv_heads = c.kv_heads,
          .head_dim = c.head_dim,
          .most_scores = int64_t{1} << (device.is_cuda() ? 24 : 19),
          .most_keys = int64_t{1} << (device.is_cuda() ? 24 : 22)};
}

at::Tensor HostCopy(const at::Tensor& x) { return x.to(at::kCPU, at::kFloat).contiguous(); }

std::span<const float> SpanOf(const at::Tensor& x) {
  if (!x.defined()) return {};
  return {x.data_ptr<float>(), static_cast<size_t>(x.numel())};
}

}  // namespace

TorchStep::TorchStep(const ModelConfig& config, const TorchWeights& weights, at::Device device,
                     at::ScalarType type)
    : config_(config),
      weights_(weights),
      device_(device),
      type_(type),
      sizes_(SizesOf(config, device)) {
  if (!config.rotation.frequencies.empty()) {
    frequencies_ = at::tensor(config.rotation.frequencies).to(device);
  }
}

int64_t TorchStep::BufferBytes(int64_t tokens, int64_t logits) const {
  const int64_t d = config_.d_model;
  const int64_t q = config_.heads * config_.head_dim, kv = config_.kv_heads * config_.head_dim;
  // x, its norm and a product's result; queries, keys and values twice; or the MLP's insides, with
  // the gate twice.
  const int64_t mlp = config_.d_ff * (config_.llama() ? 4 : 2);
  const int64_t row = 4 * (4 * d + std::max(3 * q + 4 * kv, mlp));
  // Keys and values as gathered, and as f32; scores and their softmax.
  const int64_t keys = std::max(sizes_.most_keys, (config_.context + 1024) * kv);
  const int64_t scores = std::max(sizes_.most_scores, config_.heads * config_.context);
  return tokens * row + 4 * (4 * keys + 2 * scores) + logits * 4 * (2 * config_.vocab_size + 2 * d);
}

TorchStep::Rows TorchStep::Plan(std::span<const Slice> slices, CacheSize size) const {
  std::vector<int64_t> tokens, positions, slots, kept, asked, states;
  for (const Slice& slice : slices) {
    const int64_t n = static_cast<int64_t>(slice.tokens.size());
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = static_cast<int64_t>(tokens.size());
      const int64_t position = slice.position + i;
      const int64_t place = static_cast<int64_t>(kept.size());
      if (i >= n - slice.logits) asked.push_back(place);
      if (slice.states) states.push_back(place);
      if (i >= n - slice.logits || slice.states) kept.push_back(row);
      tokens.push_back(slice.tokens[static_cast<size_t>(i)]);
      positions.push_back(position);
      const int64_t block = slice.blocks[static_cast<size_t>(position / size.block_tokens)];
      for (int64_t h = 0; h < config_.kv_heads; ++h) {
        slots.push_back((block * config_.kv_heads + h) * size.block_tokens +
                        position % size.block_tokens);
      }
    }
  }
  DeviceNumbers numbers;
  const auto token_range = numbers.Add(tokens), position_range = numbers.Add(positions),
             slot_range = numbers.Add(slots), kept_range = numbers.Add(kept),
             asked_range = numbers.Add(asked), state_range = numbers.Add(states);
  const std::vector<AttentionPlan> plans =
      PlanAttention(slices, sizes_, size.block_tokens, &numbers);
  numbers.Send(device_);
  Rows rows = {.tokens = numbers.Get(token_range),
               .positions = numbers.Get(position_range),
               .slots = numbers.Get(slot_range),
               .kept = numbers.Get(kept_range),
               .asked = numbers.Get(asked_range),
               .states = numbers.Get(state_range)};
  for (const AttentionPlan& plan : plans) rows.groups.push_back(plan.OnDevice(numbers));
  if (frequencies_.defined()) {
    const at::Tensor angles =
        rows.positions.to(at::kFloat).view({-1, 1, 1}) * frequencies_;  // [n, 1, head_dim / 2]
    rows.cosine = angles.cos() * config_.rotation.magnitude;
    rows.sine = angles.sin() * config_.rotation.magnitude;
  }
  return rows;
}

at::Tensor TorchStep::Embed(const Rows& rows) const {
  at::Tensor x = weights_.tokens.index_select(0, rows.tokens).to(at::kFloat);
  if (weights_.positions.defined()) {
    x.add_(weights_.positions.index_select(0, rows.positions).to(at::kFloat));
  }
  return x;
}

at::Tensor TorchStep::Norm(const TorchNorm& norm, const at::Tensor& x) const {
  if (!config_.llama()) {
    return at::layer_norm(x, {config_.d_model}, norm.gamma, norm.beta, config_.norm_epsilon);
  }
  const at::Tensor mean_square = x.square().mean({1}, true);
  return x * mean_square.add_(config_.norm_epsilon).rsqrt_() * norm.gamma;
}

at::Tensor TorchStep::Apply(const TorchLinear& linear, const at::Tensor& x) const {
  // libtorch gives one row to the BLAS as a product of matrices, which is several times slower.
  if (x.size(0) == 1 && device_.is_cpu() && type_ == at::kFloat) {
    const at::Tensor y = linear.weight.mv(x[0]);
    return (linear.bias.defined() ? y + linear.bias : y).unsqueeze(0);
  }
  return at::linear(x.to(type_), linear.weight, linear.bias);
}

at::Tensor TorchStep::Turn(const Rows& rows, const at::Tensor& x) const {
  if (!rows.cosine.defined()) return x;
  const at::Tensor a = x.narrow(2, 0, config_.head_dim / 2);
  const at::Tensor b = x.narrow(2, config_.head_dim / 2, config_.head_dim / 2);
  return at::cat({a * rows.cosine - b * rows.sine, b * rows.cosine + a * rows.sine}, 2);
}

at::Tensor TorchStep::Attend(int64_t layer, const Rows& rows, const at::Tensor& x,
                             TorchCache& cache) const {
  const TorchLayer& weights = weights_.layers[static_cast<size_t>(layer)];
  const int64_t n = x.size(0), heads = config_.heads, kv_heads = config_.kv_heads;
  const int64_t dim = config_.head_dim;
  const at::Tensor all = Apply(weights.qkv, Norm(weights.attention_norm, x))
                             .to(at::kFloat)
                             .view({n, heads + 2 * kv_heads, dim});
  const at::Tensor turned = Turn(rows, all.narrow(1, 0, heads + kv_heads));
  const at::Tensor queries = turned.narrow(1, 0, heads) * (1 / std::sqrt(static_cast<double>(dim)));
  const at::Tensor keys = turned.narrow(1, heads, kv_heads).reshape({n * kv_heads, dim});
  const at::Tensor values = all.narrow(1, heads + kv_heads, kv_heads).reshape({n * kv_heads, dim});
  cache.Put(layer, rows.slots, keys, values);
  const at::Tensor attended = at::empty({n, heads * dim}, x.options());
  for (const AttentionGroup& group : rows.groups) {
    serving::Attend(group, sizes_, cache, layer, queries, attended);
  }
  return attended;
}

at::Tensor TorchStep::Mlp(const TorchLayer& layer, const at::Tensor& x) const {
  at::Tensor inner = Apply(layer.up, Norm(layer.mlp_norm, x));
  if (config_.llama()) {
    const at::Tensor gate = inner.narrow(1, 0, config_.d_ff);
    inner = at::silu(gate) * inner.narrow(1, config_.d_ff, config_.d_ff);
  } else {
    inner = at::gelu(inner, "tanh");
  }
  return Apply(layer.down, inner);
}

StepOutput TorchStep::Run(std::span<const Slice> slices, TorchCache& cache) {
  const Rows rows = Plan(slices, cache.size());
  at::Tensor x = Embed(rows);
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    const TorchLayer& weights = weights_.layers[static_cast<size_t>(layer)];
    at::Tensor attended = Attend(layer, rows, x, cache);
    if (layer + 1 == config_.layers) {
      attended = attended.index_select(0, rows.kept);
      x = x.index_select(0, rows.kept);
    }
    if (x.size(0) == 0) break;
    x.add_(Apply(weights.out, attended));
    x.add_(Mlp(weights, x));
  }
  logits_ = states_ = at::Tensor();
  if (rows.states.numel() > 0) {
    states_ = HostCopy(Norm(weights_.last_norm, x.index_select(0, rows.states)));
  }
  if (rows.asked.numel() > 0) {
    logits_ =
        HostCopy(Apply(weights_.head, Norm(weights_.last_norm, x.index_select(0, rows.asked))));
  }
  return {.logits = SpanOf(logits_), .states = SpanOf(states_)};
}

}  // namespace longrun::serving
