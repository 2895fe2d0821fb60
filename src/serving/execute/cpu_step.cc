#include "serving/execute/cpu_step.h"

#include <algorithm>
#include <cmath>

namespace longrun::serving {
namespace {

constexpr int64_t kRowsOfUnit = 16;

// Grows alone: a step seldom needs to clear memory.
template <class T>
void AtLeast(std::vector<T>* buffer, int64_t size) {
  if (static_cast<int64_t>(buffer->size()) < size) buffer->resize(static_cast<size_t>(size));
}

int64_t KeptRows(const Slice& slice) {
  return slice.states ? static_cast<int64_t>(slice.tokens.size()) : slice.logits;
}

// What `threads` share a product as: each takes half of a thread's part of the panels that are
// left. The last go in pieces, so that all threads end together.
void ShareProduct(int64_t panels, int64_t tiles, int64_t threads, std::vector<ProductPart>* parts) {
  constexpr int64_t kPieces = 4;
  parts->clear();
  for (int64_t begin = 0; begin < panels;) {
    const int64_t take = (panels - begin) / (2 * threads);
    const int64_t end = begin + std::max<int64_t>(1, take);
    const int64_t pieces = take > 1 ? 1 : std::min(tiles, kPieces);
    for (int64_t i = 0; i < pieces; ++i) {
      parts->push_back({begin, end, tiles * i / pieces, tiles * (i + 1) / pieces});
    }
    begin = end;
  }
}

}  // namespace

CpuStep::CpuStep(const ModelConfig& config, const CpuWeights& weights, WeightType type,
                 const Kernels& kernels, ThreadPool& pool)
    : config_(config),
      weights_(weights),
      kernels_(kernels),
      pool_(pool),
      f32_(type == WeightType::kF32),
      q_width_(config.heads * config.head_dim),
      kv_width_(config.kv_heads * config.head_dim),
      qkv_width_(q_width_ + 2 * kv_width_) {
  AtLeast(&scratch_, pool.threads() * kernels.attention_scratch(config.head_dim));
}

int64_t CpuStep::BufferBytes(int64_t tokens, int64_t logits) const {
  const int64_t d = config_.d_model;
  const int64_t widest = std::max({d, q_width_, config_.d_ff});
  const int64_t f32_row = d + config_.head_dim + qkv_width_ + d;  // the last: states
  return tokens * (4 * f32_row + ActivationBytesOf(std::max(d, q_width_) + config_.d_ff + widest)) +
         logits * 4 * config_.vocab_size + static_cast<int64_t>(scratch_.size()) * 4;
}

StepOutput CpuStep::Run(std::span<const Slice> slices, const PagedCache& cache) {
  if (slices.empty()) return {};
  Plan(slices, cache.block_tokens());
  Embed();
  for (size_t i = 0; i < weights_.layers.size(); ++i) {
    const CacheView view = cache.Layer(static_cast<int64_t>(i));
    Project(weights_.layers[i], view);
    if (i + 1 == weights_.layers.size()) KeepAsked(slices);
    if (row_pointers_.empty()) break;
    Attend(weights_.layers[i], view);
    Mlp(weights_.layers[i]);
  }
  return Finish(slices);
}

void CpuStep::Plan(std::span<const Slice> slices, int64_t block_tokens) {
  rows_.clear();
  units_.clear();
  runs_.clear();
  for (const Slice& slice : slices) {
    const int64_t first = static_cast<int64_t>(rows_.size());
    const int64_t n = static_cast<int64_t>(slice.tokens.size());
    for (int64_t i = 0; i < n; ++i) rows_.push_back({&slice, slice.position + i});
    for (int64_t i = 0; i < n;) {
      const int64_t slot = (slice.position + i) % block_tokens;
      const int64_t tokens = std::min({n - i, block_tokens - slot, kTokensAtOnce});
      const auto block = static_cast<size_t>((slice.position + i) / block_tokens);
      runs_.push_back({first + i, tokens, slice.blocks[block], slot});
      i += tokens;
    }
    PlanAttention(slice, 0, first, first);
  }
  SortAttention();
  const int64_t n = static_cast<int64_t>(rows_.size());
  const int64_t d = config_.d_model;
  AtLeast(&x_, n * d);
  AtLeast(&turns_, n * config_.head_dim);
  AtLeast(&qkv_, n * qkv_width_);
  AtLeast(&activations_, ActivationBytesOf(n * std::max(d, q_width_)));
  AtLeast(&inner_, ActivationBytesOf(n * config_.d_ff));
  AtLeast(&packed_, ActivationBytesOf(n * std::max({d, q_width_, config_.d_ff})));
  row_pointers_.clear();
  for (int64_t i = 0; i < n; ++i) row_pointers_.push_back(x_.data() + i * d);
}

// Tokens from `begin` on; the rows are those of token `begin`.
void CpuStep::PlanAttention(const Slice& slice, int64_t begin, int64_t q_row, int64_t out_row) {
  const int64_t tokens_of_unit =
      std::max<int64_t>(kQueryRows / (config_.heads / config_.kv_heads), 1);
  const int64_t n = static_cast<int64_t>(slice.tokens.size());
  for (int64_t i = begin; i < n; i += tokens_of_unit) {
    for (int64_t h = 0; h < config_.kv_heads; ++h) {
      units_.push_back({.slice = &slice,
                        .begin = i,
                        .end = std::min(i + tokens_of_unit, n),
                        .kv_head = h,
                        .q_row = q_row + i - begin,
                        .out_row = out_row + i - begin});
    }
  }
}

// The costliest first: late in a long prompt.
void CpuStep::SortAttention() {
  std::stable_sort(units_.begin(), units_.end(), [](const auto& a, const auto& b) {
    const auto cost = [](const AttentionUnit& u) {
      return (u.slice->position + u.end) * (u.end - u.begin);
    };
    return cost(a) > cost(b);
  });
}

void CpuStep::Embed() {
  const int64_t n = static_cast<int64_t>(rows_.size()), d = config_.d_model;
  const int64_t half = config_.head_dim / 2;
  pool_.ForEach((n + kRowsOfUnit - 1) / kRowsOfUnit, [&](int64_t unit, int) {
    std::vector<float> position;
    for (int64_t i = unit * kRowsOfUnit; i < std::min(n, (unit + 1) * kRowsOfUnit); ++i) {
      const Row& row = rows_[static_cast<size_t>(i)];
      float* x = x_.data() + i * d;
      weights_.tokens.Row(
          row.slice->tokens[static_cast<size_t>(row.position - row.slice->position)], x);
      if (config_.llama()) {
        float* turns = turns_.data() + i * config_.head_dim;
        for (int64_t j = 0; j < half; ++j) {
          const float angle = static_cast<float>(row.position) *
                              config_.rotation.frequencies[static_cast<size_t>(j)];
          turns[j] = std::cos(angle) * config_.rotation.magnitude;
          turns[half + j] = std::sin(angle) * config_.rotation.magnitude;
        }
      } else {
        position.resize(static_cast<size_t>(d));
        weights_.positions.Row(row.position, position.data());
        for (int64_t j = 0; j < d; ++j) x[j] += position[static_cast<size_t>(j)];
      }
    }
  });
}

Norm CpuStep::NormOf(const NormWeights& norm) const {
  return {.gamma = norm.gamma.data(),
          .beta = norm.beta.empty() ? nullptr : norm.beta.data(),
          .epsilon = static_cast<float>(config_.norm_epsilon),
          .rms = config_.llama(),
          .width = config_.d_model};
}

const void* CpuStep::NormAndPack(const NormWeights& weights, std::span<const float* const> rows) {
  const Norm norm = NormOf(weights);
  const int64_t n = static_cast<int64_t>(rows.size()), d = config_.d_model;
  const int64_t height = TileRows(kernels_, n);
  const int64_t words = ActivationBytesOf(d) / 4;
  pool_.ForEach(Tiles(kernels_, n), [&](int64_t tile, int) {
    for (int64_t i = tile * height; i < std::min(n, (tile + 1) * height); ++i) {
      kernels_.norm(norm, rows[static_cast<size_t>(i)],
                    activations_.data() + ActivationBytesOf(i * d), f32_);
    }
    if (n == 1) return;
    kernels_.pack_rows(reinterpret_cast<const uint32_t*>(activations_.data()), words, n, words,
                       tile, reinterpret_cast<uint32_t*>(packed_.data()));
  });
  return n == 1 ? activations_.data() : packed_.data();
}

const void* CpuStep::Pack(const void* activations, int64_t rows, int64_t width) {
  if (rows == 1) return activations;
  const int64_t words = ActivationBytesOf(width) / 4;
  pool_.ForEach(Tiles(kernels_, rows), [&](int64_t tile, int) {
    kernels_.pack_rows(static_cast<const uint32_t*>(activations), words, rows, words, tile,
                       reinterpret_cast<uint32_t*>(packed_.data()));
  });
  return packed_.data();
}

void CpuStep::Multiply(const LinearWeights& w, const void* packed, int64_t rows, After after,
                       void* out, int64_t columns) {
  const Product product = {.w = &w.matrix,
                           .x = packed,
                           .rows = rows,
                           .bias = w.bias.empty() ? nullptr : w.bias.data(),
                           .after = after,
                           .out = out,
                           .out_stride = columns,
                           .columns = columns};
  const int64_t width = after == After::kSwiGlu ? kernels_.lanes : kernels_.panel;
  const int64_t panels = (columns + width - 1) / width;
  ShareProduct(panels, Tiles(kernels_, rows), pool_.threads(), &parts_);
  pool_.ForEach(static_cast<int64_t>(parts_.size()),
                [&](int64_t i, int) { kernels_.product(product, parts_[static_cast<size_t>(i)]); });
}

// Turns queries and keys to their position and puts keys and values into their block.
void CpuStep::PlaceKeys(const CacheView& cache, const BlockRun& run) {
  const int64_t dim = config_.head_dim, half = dim / 2;
  if (config_.llama()) {
    for (int64_t row = run.first; row < run.first + run.tokens; ++row) {
      const float* cosine = turns_.data() + row * dim;
      const float* sine = cosine + half;
      for (int64_t h = 0; h < config_.heads + config_.kv_heads; ++h) {
        float* head = qkv_.data() + row * qkv_width_ + h * dim;  // keys follow the queries
        for (int64_t i = 0; i < half; ++i) {
          const float a = head[i], b = head[half + i];
          head[i] = a * cosine[i] - b * sine[i];
          head[half + i] = b * cosine[i] + a * sine[i];
        }
      }
    }
  }
  const float* keys = qkv_.data() + run.first * qkv_width_ + q_width_;
  for (int64_t h = 0; h < config_.kv_heads; ++h) {
    kernels_.store_kv(cache, {.block = run.block,
                              .slot = run.slot,
                              .tokens = run.tokens,
                              .kv_head = h,
                              .keys = keys + h * dim,
                              .values = keys + kv_width_ + h * dim,
                              .stride = qkv_width_});
  }
}

void CpuStep::Project(const LayerWeights& layer, const CacheView& cache) {
  const int64_t n = static_cast<int64_t>(row_pointers_.size());
  const void* packed = NormAndPack(layer.attention_norm, row_pointers_);
  Multiply(layer.qkv, packed, n, After::kStore, qkv_.data(), qkv_width_);
  pool_.ForEach(static_cast<int64_t>(runs_.size()),
                [&](int64_t i, int) { PlaceKeys(cache, runs_[static_cast<size_t>(i)]); });
}

// Behind the keys and values of the last layer, only those rows go on that somebody asks for: they
// move together.
void CpuStep::KeepAsked(std::span<const Slice> slices) {
  const int64_t d = config_.d_model;
  int64_t asked = 0;
  for (const Slice& slice : slices) asked += KeptRows(slice);
  if (asked == static_cast<int64_t>(rows_.size())) return;  // decoding alone: all
  units_.clear();
  int64_t row = 0, kept = 0;
  for (const Slice& slice : slices) {
    const int64_t n = static_cast<int64_t>(slice.tokens.size());
    const int64_t begin = n - KeptRows(slice);
    PlanAttention(slice, begin, row + begin, kept);
    for (int64_t i = begin; i < n; ++i, ++kept) {
      if (row + i != kept) std::copy_n(x_.data() + (row + i) * d, d, x_.data() + kept * d);
    }
    row += n;
  }
  SortAttention();
  row_pointers_.resize(static_cast<size_t>(kept));
}

void CpuStep::Attend(const LayerWeights& layer, const CacheView& cache) {
  const int64_t n = static_cast<int64_t>(row_pointers_.size());
  const int64_t scratch = kernels_.attention_scratch(config_.head_dim);
  const float scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
  pool_.ForEach(static_cast<int64_t>(units_.size()), [&](int64_t i, int thread) {
    const AttentionUnit& unit = units_[static_cast<size_t>(i)];
    const AttentionPart part = {
        .q = qkv_.data() + unit.q_row * qkv_width_,
        .q_stride = qkv_width_,
        .position = unit.slice->position,
        .begin = unit.begin,
        .end = unit.end,
        .group = config_.heads / config_.kv_heads,
        .kv_head = unit.kv_head,
        .blocks = unit.slice->blocks.data(),
        .scale = scale,
        .out = activations_.data() + ActivationBytesOf(unit.out_row * q_width_),
        .out_stride = q_width_,
        .out_f32 = f32_};
    kernels_.attention(cache, part, scratch_.data() + thread * scratch);
  });
  Multiply(layer.out, Pack(activations_.data(), n, q_width_), n, After::kAdd, x_.data(),
           config_.d_model);
}

void CpuStep::Mlp(const LayerWeights& layer) {
  const int64_t n = static_cast<int64_t>(row_pointers_.size());
  const void* packed = NormAndPack(layer.mlp_norm, row_pointers_);
  Multiply(layer.up, packed, n, config_.llama() ? After::kSwiGlu : After::kGelu, inner_.data(),
           config_.d_ff);
  Multiply(layer.down, Pack(inner_.data(), n, config_.d_ff), n, After::kAdd, x_.data(),
           config_.d_model);
}

StepOutput CpuStep::Finish(std::span<const Slice> slices) {
  const int64_t d = config_.d_model;
  asked_.clear();
  int64_t row = 0, states = 0;
  for (const Slice& slice : slices) {
    const int64_t n = KeptRows(slice);
    if (slice.states) {
      AtLeast(&states_, (states + n) * d);
      for (int64_t i = 0; i < n; ++i) {
        kernels_.norm(NormOf(weights_.last_norm), x_.data() + (row + i) * d,
                      states_.data() + (states + i) * d, true);
      }
      states += n;
    }
    for (int64_t i = n - slice.logits; i < n; ++i) asked_.push_back(x_.data() + (row + i) * d);
    row += n;
  }
  const int64_t asked = static_cast<int64_t>(asked_.size());
  AtLeast(&logits_, asked * config_.vocab_size);
  if (asked > 0) {
    Multiply(weights_.head, NormAndPack(weights_.last_norm, asked_), asked, After::kStore,
             logits_.data(), config_.vocab_size);
  }
  return {.logits = {logits_.data(), static_cast<size_t>(asked * config_.vocab_size)},
          .states = {states_.data(), static_cast<size_t>(states * d)}};
}

}  // namespace longrun::serving
