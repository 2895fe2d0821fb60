// Attention over paged keys and values. For kernels.cc alone.
//
// Keys are met in tiles of kKeyTile from position 0 on, with a running maximum and sum (Milakov and
// Gimelshein 2018; Dao 2022). A tile is first copied to f32, keys transposed, whatever the blocks'
// size and type; then each row does the same arithmetic whether it came alone or with others.
#pragma once

#include "serving/execute/kernel_vectors.h"

namespace longrun::serving {
namespace {

constexpr int64_t kPadDim = 16;
inline int64_t PaddedDim(int64_t dim) { return (dim + kPadDim - 1) / kPadDim * kPadDim; }

int64_t AttentionScratch(int64_t dim) {
  const int64_t padded = PaddedDim(dim);
  return 2 * kKeyTile * padded + 2 * kQueryRows * padded + kQueryRows * kKeyTile + 3 * kQueryRows;
}

struct AttentionState {
  float* keys;    // [dim, kKeyTile]
  float* values;  // [kKeyTile, padded]
  float* q;       // [rows, padded], scaled
  float* sums;    // [rows, padded]
  float* shares;  // [rows, kKeyTile]: scores, then their exponentials
  float* top;     // [rows]
  float* total;   // [rows]
  float* shrink;  // [rows]: what the tile's new maximum does to the sums
  int64_t dim, padded;
};

AttentionState Lay(float* scratch, int64_t dim) {
  AttentionState s;
  s.dim = dim;
  s.padded = PaddedDim(dim);
  s.keys = scratch;
  s.values = s.keys + kKeyTile * s.padded;
  s.q = s.values + kKeyTile * s.padded;
  s.sums = s.q + kQueryRows * s.padded;
  s.shares = s.sums + kQueryRows * s.padded;
  s.top = s.shares + kQueryRows * kKeyTile;
  s.total = s.top + kQueryRows;
  s.shrink = s.total + kQueryRows;
  return s;
}

inline float LoadAny(float v) { return v; }
inline float LoadAny(Bf16 v) { return Load(v); }
inline float LoadAny(int8_t v) { return static_cast<float>(v); }

// `n` tokens of a block, from its token `slot` on, to the tile's tokens `at` on.
template <class T, int kN>
inline void GatherRun(const CacheView& c, const std::byte* head, int64_t slot, int64_t at,
                      int64_t some, const AttentionState& s) {
  const int64_t n = kN > 0 ? kN : some;
  const auto* keys = reinterpret_cast<const T*>(head) + slot;
  const auto* values =
      reinterpret_cast<const T*>(head) + c.block_tokens * c.head_dim + slot * c.head_dim;
  const auto* scales = reinterpret_cast<const float*>(head + 2 * c.block_tokens * c.head_dim);
  constexpr bool kScaled = sizeof(T) == 1;
  for (int64_t d = 0; d < s.dim; ++d) {
    const T* __restrict from = keys + d * c.block_tokens;
    float* __restrict to = s.keys + d * kKeyTile + at;
    for (int64_t j = 0; j < n; ++j) {
      to[j] = kScaled ? LoadAny(from[j]) * scales[slot + j] : LoadAny(from[j]);
    }
  }
  for (int64_t j = 0; j < n; ++j) {
    const T* __restrict from = values + j * c.head_dim;
    float* __restrict to = s.values + (at + j) * s.padded;
    const float scale = kScaled ? scales[c.block_tokens + slot + j] : 1.0f;
    for (int64_t d = 0; d < s.dim; ++d) {
      to[d] = kScaled ? LoadAny(from[d]) * scale : LoadAny(from[d]);
    }
  }
}

constexpr int64_t kFetchBytes = 8192;  // of the next block, at most

// Tokens [begin, begin + n) of the sequence, n <= kKeyTile; what the tile holds after them is never
// used: their scores are masked, and Mix ends before them.
template <class T>
void Gather(const CacheView& c, const AttentionPart& p, int64_t begin, int64_t n,
            const AttentionState& s) {
  for (int64_t done = 0; done < n;) {
    const int64_t token = begin + done;
    const int64_t slot = token % c.block_tokens;
    const int64_t run = n - done < c.block_tokens - slot ? n - done : c.block_tokens - slot;
    const std::byte* head =
        c.base + p.blocks[token / c.block_tokens] * c.block_bytes + p.kv_head * c.head_bytes;
    if (token + run < begin + n || token + run < p.position + p.end) {
      const std::byte* next = c.base + p.blocks[(token + run) / c.block_tokens] * c.block_bytes +
                              p.kv_head * c.head_bytes;
      const int64_t bytes = 2 * static_cast<int64_t>(sizeof(T)) * run * c.head_dim;
      for (int64_t i = 0; i < bytes && i < kFetchBytes; i += 64) __builtin_prefetch(next + i);
    }
    if (run == 16) {
      GatherRun<T, 16>(c, head, slot, done, run, s);
    } else {
      GatherRun<T, 0>(c, head, slot, done, run, s);
    }
    done += run;
  }
}

constexpr int kTileRows = kLanes == 16 ? 4 : 2;
constexpr int kScoreVecs = 4;  // vectors of keys taken at once

// shares [R, kKeyTile] = q · keys of rows `row` on.
template <int R>
inline void Scores(const AttentionState& s, int64_t row) {
  const float* __restrict q = s.q + row * s.padded;
  for (int64_t j = 0; j < kKeyTile; j += kScoreVecs * kLanes) {
    Vec sums[R][kScoreVecs];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kScoreVecs; ++v) sums[r][v] = Vec{};
    }
    for (int64_t d = 0; d < s.dim; ++d) {
      const float* __restrict keys = s.keys + d * kKeyTile + j;
      Vec k[kScoreVecs];
#pragma GCC unroll 8
      for (int v = 0; v < kScoreVecs; ++v) k[v] = LoadVec(keys + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec x = Splat(q[r * s.padded + d]);
#pragma GCC unroll 8
        for (int v = 0; v < kScoreVecs; ++v) sums[r][v] = Fma(x, k[v], sums[r][v]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kScoreVecs; ++v) {
        StoreVec(s.shares + (row + r) * kKeyTile + j + v * kLanes, sums[r][v]);
      }
    }
  }
}

// The scores of `seen` keys become exp(score - maximum); those after them, zero.
inline void Soften(const AttentionState& s, int64_t row, int32_t seen) {
  constexpr int32_t kTile = kKeyTile;
  float* __restrict shares = s.shares + row * kKeyTile;
  for (int32_t j = seen; j < kTile; ++j) shares[j] = -3.0e38f;
  Vec tops = LoadVec(shares);
  for (int32_t j = kLanes; j < kTile; j += kLanes) {
    const Vec other = LoadVec(shares + j);
    tops = tops < other ? other : tops;
  }
  const float before = s.top[row];
  const float tile_top = MaxLanes(tops);
  const float top = before < tile_top ? tile_top : before;
  for (int32_t j = 0; j < kTile; ++j) shares[j] = Exp(shares[j] - top);
  for (int32_t j = seen; j < kTile; ++j) shares[j] = 0;
  Vec sum = LoadVec(shares);
  for (int32_t j = kLanes; j < kTile; j += kLanes) sum += LoadVec(shares + j);
  const float shrink = Exp(before - top);
  s.top[row] = top;
  s.shrink[row] = shrink;
  s.total[row] = s.total[row] * shrink + SumLanes(sum);
}

// sums of rows `row` on = sums · shrink + shares · values, keys below `keys`.
template <int R>
inline void Mix(const AttentionState& s, int64_t row, int64_t keys) {
  constexpr int kVecs = 4;
  for (int64_t d = 0; d < s.padded; d += kVecs * kLanes) {
    const int64_t vecs = (s.padded - d) / kLanes < kVecs ? (s.padded - d) / kLanes : kVecs;
    Vec sums[R][kVecs];
    const auto run = [&](auto count) {
      constexpr int kN = decltype(count)::value;
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec shrink = Splat(s.shrink[row + r]);
#pragma GCC unroll 8
        for (int v = 0; v < kN; ++v) {
          sums[r][v] = LoadVec(s.sums + (row + r) * s.padded + d + v * kLanes) * shrink;
        }
      }
      for (int64_t j = 0; j < keys; ++j) {
        const float* __restrict values = s.values + j * s.padded + d;
        Vec value[kN];
#pragma GCC unroll 8
        for (int v = 0; v < kN; ++v) value[v] = LoadVec(values + v * kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const Vec share = Splat(s.shares[(row + r) * kKeyTile + j]);
#pragma GCC unroll 8
          for (int v = 0; v < kN; ++v) sums[r][v] = Fma(share, value[v], sums[r][v]);
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < kN; ++v) {
          StoreVec(s.sums + (row + r) * s.padded + d + v * kLanes, sums[r][v]);
        }
      }
    };
    if (vecs == 4) {
      run(std::integral_constant<int, 4>());
    } else if (vecs == 3) {
      run(std::integral_constant<int, 3>());
    } else if (vecs == 2) {
      run(std::integral_constant<int, 2>());
    } else {
      run(std::integral_constant<int, 1>());
    }
  }
}

void RunAttention(const CacheView& c, const AttentionPart& p, float* scratch) {
  const AttentionState s = Lay(scratch, c.head_dim);
  const int64_t rows = (p.end - p.begin) * p.group;
  const auto q_of = [&](int64_t row) {
    return p.q + (p.begin + row / p.group) * p.q_stride +
           (p.kv_head * p.group + row % p.group) * s.dim;
  };
  for (int64_t r = 0; r < rows; ++r) {
    const float* q = q_of(r);
    for (int64_t d = 0; d < s.dim; ++d) s.q[r * s.padded + d] = q[d] * p.scale;
    for (int64_t d = 0; d < s.padded; ++d) s.sums[r * s.padded + d] = 0;
    s.top[r] = -3.0e38f;
    s.total[r] = 0;
  }
  // The padding of the values' rows is read, never written by Gather.
  for (int64_t j = 0; j < kKeyTile; ++j) {
    for (int64_t d = s.dim; d < s.padded; ++d) s.values[j * s.padded + d] = 0;
  }
  const int64_t length = p.position + p.end;  // keys that the last token sees
  for (int64_t begin = 0; begin < length; begin += kKeyTile) {
    const int64_t n = length - begin < kKeyTile ? length - begin : kKeyTile;
    switch (c.type) {
      case KvType::kF32:
        Gather<float>(c, p, begin, n, s);
        break;
      case KvType::kBF16:
        Gather<Bf16>(c, p, begin, n, s);
        break;
      case KvType::kInt8:
        Gather<int8_t>(c, p, begin, n, s);
        break;
    }
    // Rows of earlier tokens may see nothing of this tile: they stay as they are.
    const auto seen_by = [&](int64_t r) { return p.position + p.begin + r / p.group + 1 - begin; };
    int64_t first = 0;
    while (seen_by(first) <= 0) ++first;
    for (int64_t r = first; r < rows;) {
      const bool many = rows - r >= kTileRows;
      const int64_t count = many ? kTileRows : 1;
      many ? Scores<kTileRows>(s, r) : Scores<1>(s, r);
      for (int64_t i = r; i < r + count; ++i) {
        Soften(s, i, static_cast<int32_t>(seen_by(i) < kKeyTile ? seen_by(i) : kKeyTile));
      }
      const int64_t last = seen_by(r + count - 1);
      const int64_t keys = last < kKeyTile ? last : kKeyTile;
      many ? Mix<kTileRows>(s, r, keys) : Mix<1>(s, r, keys);
      r += count;
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    const float share = 1.0f / s.total[r];
    const int64_t at =
        (p.begin + r / p.group) * p.out_stride + (p.kv_head * p.group + r % p.group) * s.dim;
    const float* __restrict sums = s.sums + r * s.padded;
    if (p.out_f32) {
      float* __restrict out = static_cast<float*>(p.out) + at;
      for (int64_t d = 0; d < s.dim; ++d) out[d] = sums[d] * share;
    } else {
      Bf16* __restrict out = static_cast<Bf16*>(p.out) + at;
      for (int64_t d = 0; d < s.dim; ++d) Store(&out[d], sums[d] * share);
    }
  }
}

template <class T>
void StoreRow(const float* row, int64_t dim, T* to, int64_t stride, float* scale) {
  if constexpr (sizeof(T) == 1) {
    float top = 0;
    for (int64_t d = 0; d < dim; ++d) {
      const float size = __builtin_fabsf(row[d]);
      top = top < size ? size : top;
    }
    const float inverse = top > 0 ? 127.0f / top : 0.0f;
    *scale = top / 127.0f;
    for (int64_t d = 0; d < dim; ++d) {
      to[d * stride] = static_cast<T>(__builtin_rintf(row[d] * inverse));
    }
  } else {
    for (int64_t d = 0; d < dim; ++d) Store(&to[d * stride], row[d]);
  }
}

template <class T>
void StoreToken(const CacheView& c, std::byte* head, int64_t slot, const float* key,
                const float* value) {
  T* keys = reinterpret_cast<T*>(head);
  T* values = keys + c.block_tokens * c.head_dim;
  auto* scales = reinterpret_cast<float*>(head + 2 * c.block_tokens * c.head_dim);
  StoreRow(key, c.head_dim, keys + slot, c.block_tokens, scales + slot);
  StoreRow(value, c.head_dim, values + slot * c.head_dim, 1, scales + c.block_tokens + slot);
}

void StoreKv(const CacheView& c, BlockId block, int64_t slot, int64_t kv_head, const float* key,
             const float* value) {
  std::byte* head = c.base + block * c.block_bytes + kv_head * c.head_bytes;
  switch (c.type) {
    case KvType::kF32:
      return StoreToken<float>(c, head, slot, key, value);
    case KvType::kBF16:
      return StoreToken<Bf16>(c, head, slot, key, value);
    case KvType::kInt8:
      return StoreToken<int8_t>(c, head, slot, key, value);
  }
}

}  // namespace
}  // namespace longrun::serving
