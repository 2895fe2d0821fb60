// Attention over paged keys and values. For kernels.cc alone.
//
// Keys are met in tiles of kKeyTile from position 0 on, with a running maximum and sum (Milakov and
// Gimelshein 2018; Dao 2022). Each row does the same arithmetic whether it came alone or with
// others. Over a cache of bf16, queries and shares are rounded to bf16 too.
#pragma once

#include <type_traits>

#include "serving/execute/kernel_cache.h"

namespace longrun::serving {
namespace {

constexpr int64_t kPadDim = 16;
inline int64_t PaddedDim(int64_t dim) { return (dim + kPadDim - 1) / kPadDim * kPadDim; }

struct AttentionState {
  TileScratch tile;
  uint32_t* q;       // [rows, padded]: words, of the scaled queries
  float* sums;       // [rows, padded]
  float* scores;     // [rows, kKeyTile]
  uint32_t* shares;  // [rows, kKeyTile]: words
  float* top;        // [rows]
  float* total;      // [rows]
  float* shrink;     // [rows]: what the tile's new maximum does to the sums
  int64_t dim, padded;
};

int64_t AttentionScratch(int64_t dim) {
  const int64_t padded = PaddedDim(dim);
  return 2 * kKeyTile * padded + 2 * kKeyTile + 2 * kQueryRows * padded +
         2 * kQueryRows * kKeyTile + 3 * kQueryRows;
}

AttentionState Lay(float* scratch, int64_t dim) {
  AttentionState s;
  s.dim = dim;
  s.padded = PaddedDim(dim);
  s.tile.padded = s.padded;
  s.tile.keys = scratch;
  s.tile.values = s.tile.keys + kKeyTile * s.padded;
  s.tile.scales = s.tile.values + kKeyTile * s.padded;
  s.sums = s.tile.scales + 2 * kKeyTile;
  s.q = reinterpret_cast<uint32_t*>(s.sums + kQueryRows * s.padded);
  s.scores = s.sums + 2 * kQueryRows * s.padded;
  s.shares = reinterpret_cast<uint32_t*>(s.scores + kQueryRows * kKeyTile);
  s.top = s.scores + 2 * kQueryRows * kKeyTile;
  s.total = s.top + kQueryRows;
  s.shrink = s.total + kQueryRows;
  return s;
}

// Words of n values · scale.
template <class K>
inline void ToWords(const float* __restrict from, int64_t n, float scale, uint32_t* __restrict to) {
  if constexpr (K::kSpan == 2) {
    auto* __restrict pairs = reinterpret_cast<Bf16*>(to);
    for (int64_t i = 0; i < n; ++i) Store(&pairs[i], from[i] * scale);
  } else {
    auto* __restrict words = reinterpret_cast<float*>(to);
    for (int64_t i = 0; i < n; ++i) words[i] = from[i] * scale;
  }
}

constexpr int kTileRows = kLanes == 16 ? 4 : 2;
constexpr int kScoreVecs = 4;  // vectors of keys taken at once

// scores [R, kKeyTile] = q · keys of rows `row` on.
template <class K, int R>
inline void Scores(const AttentionState& s, const TileOf<K>& tile, int64_t row) {
  const uint32_t* __restrict q = s.q + row * s.padded;
  constexpr int64_t kVecs = kKeyTile / kLanes, kVecsOfRun = kRun / kLanes;
  for (int64_t first = 0; first < kVecs; first += kScoreVecs) {
    const typename K::Cell* keys[kScoreVecs];
#pragma GCC unroll 8
    for (int v = 0; v < kScoreVecs; ++v) {
      keys[v] = tile.keys[(first + v) / kVecsOfRun] + (first + v) % kVecsOfRun * kLanes;
    }
    Vec sums[R][kScoreVecs];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kScoreVecs; ++v) sums[r][v] = Vec{};
    }
    for (int64_t d = 0; d < s.dim / K::kSpan; ++d) {
      typename K::Operand k[kScoreVecs];
#pragma GCC unroll 8
      for (int v = 0; v < kScoreVecs; ++v) k[v] = K::Load(keys[v] + d * tile.key_stride);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const uint32_t word = q[r * s.padded + d];
#pragma GCC unroll 8
        for (int v = 0; v < kScoreVecs; ++v) sums[r][v] = K::Add(sums[r][v], k[v], word);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kScoreVecs; ++v) {
        StoreVec(s.scores + (row + r) * kKeyTile + (first + v) * kLanes, sums[r][v]);
      }
    }
  }
}

inline Vec RunScales(const float* const* scales, int v) {
  constexpr int kVecsOfRun = kRun / kLanes;
  return LoadVec(scales[v / kVecsOfRun] + v % kVecsOfRun * kLanes);
}

// The scores of `seen` keys become exp(score - maximum), as words; those after them, zero. What is
// read behind the last token may be anything.
template <class K>
inline void Soften(const AttentionState& s, const TileOf<K>& tile, int64_t row, int32_t seen) {
  constexpr int kVecs = kKeyTile / kLanes;
  const bool whole = seen >= kKeyTile;
  Vec shares[kVecs];
  const auto keep_seen = [&](float other) {
    if (whole) return;
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) shares[v] = FirstLanes(shares[v], seen - v * kLanes, other);
  };
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    shares[v] = LoadVec(s.scores + row * kKeyTile + v * kLanes);
    if constexpr (K::kScaled) shares[v] *= RunScales(tile.key_scales, v);
  }
  keep_seen(-3.0e38f);
  Vec tops = shares[0];
#pragma GCC unroll 4
  for (int v = 1; v < kVecs; ++v) tops = MaxVec(tops, shares[v]);
  const float before = s.top[row];
  const float tile_top = MaxLanes(tops);
  const float top = before < tile_top ? tile_top : before;
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) shares[v] = ExpVec(shares[v] - top);
  keep_seen(0.0f);
  Vec sum = shares[0];
#pragma GCC unroll 4
  for (int v = 1; v < kVecs; ++v) sum += shares[v];
  const float shrink = Exp(before - top);
  s.top[row] = top;
  s.shrink[row] = shrink;
  s.total[row] = s.total[row] * shrink + SumLanes(sum);
  if constexpr (K::kScaled) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) shares[v] *= RunScales(tile.value_scales, v);
    keep_seen(0.0f);
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    if constexpr (K::kSpan == 2) {
      StoreBf16(reinterpret_cast<Bf16*>(s.shares + row * kKeyTile) + v * kLanes, shares[v]);
    } else {
      StoreVec(reinterpret_cast<float*>(s.shares + row * kKeyTile) + v * kLanes, shares[v]);
    }
  }
}

// sums of rows `row` on = sums · shrink + shares · values, keys below `keys`.
template <class K, int R>
inline void Mix(const AttentionState& s, const TileOf<K>& tile, int64_t row, int64_t keys) {
  constexpr int kVecs = 4;
  constexpr int64_t kWordsOfRun = kRun / K::kSpan;
  const int64_t words = keys / K::kSpan;
  for (int64_t d = 0; d < s.padded; d += kVecs * kLanes) {
    const int64_t vecs = (s.padded - d) / kLanes < kVecs ? (s.padded - d) / kLanes : kVecs;
    Vec sums[R][kVecs];
    const auto run = [&](auto count) {
      constexpr int kN = decltype(count)::value;
      const auto add = [&](const typename K::Operand* values, int64_t word) {
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const uint32_t share = s.shares[(row + r) * kKeyTile + word];
#pragma GCC unroll 8
          for (int v = 0; v < kN; ++v) sums[r][v] = K::Add(sums[r][v], values[v], share);
        }
      };
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec shrink = Splat(s.shrink[row + r]);
#pragma GCC unroll 8
        for (int v = 0; v < kN; ++v) {
          sums[r][v] = LoadVec(s.sums + (row + r) * s.padded + d + v * kLanes) * shrink;
        }
      }
      for (int64_t first = 0; first < words; first += kWordsOfRun) {
        const typename K::Cell* __restrict from = tile.values[first / kWordsOfRun] + d;
        const int64_t n = words - first < kWordsOfRun ? words - first : kWordsOfRun;
        for (int64_t w = 0; w < n; ++w) {
          typename K::Operand values[kN];
#pragma GCC unroll 8
          for (int v = 0; v < kN; ++v)
            values[v] = K::Load(from + w * tile.value_stride + v * kLanes);
          add(values, first + w);
        }
      }
      if constexpr (K::kSpan > 1) {
        if (keys % K::kSpan != 0) {
          const typename K::Cell* __restrict from =
              tile.values[words / kWordsOfRun] + d + words % kWordsOfRun * tile.value_stride;
          typename K::Operand values[kN];
#pragma GCC unroll 8
          for (int v = 0; v < kN; ++v) values[v] = K::LoadFirst(from + v * kLanes);
          add(values, words);
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

// Rows [row, row + R) meet a tile.
template <class K, int R, class SeenBy>
inline void Meet(const AttentionState& s, const TileOf<K>& tile, int64_t row,
                 const SeenBy& seen_by) {
  Scores<K, R>(s, tile, row);
  for (int64_t r = row; r < row + R; ++r) Soften<K>(s, tile, r, seen_by(r));
  Mix<K, R>(s, tile, row, seen_by(row + R - 1));
}

template <class K>
void AttendTo(const CacheView& c, const AttentionPart& p, float* scratch) {
  const AttentionState s = Lay(scratch, c.head_dim);
  const int64_t rows = (p.end - p.begin) * p.group;
  for (int64_t r = 0; r < rows; ++r) {
    const float* q = p.q + r / p.group * p.q_stride + (p.kv_head * p.group + r % p.group) * s.dim;
    ToWords<K>(q, s.dim, p.scale, s.q + r * s.padded);
    for (int64_t d = 0; d < s.padded; ++d) s.sums[r * s.padded + d] = 0;
    s.top[r] = -3.0e38f;
    s.total[r] = 0;
  }
  if (s.padded != s.dim) {
    for (int64_t i = 0; i < kKeyTile * s.padded; ++i) s.tile.values[i] = 0;
  }
  const int64_t length = p.position + p.end;  // keys that the last token sees
  for (int64_t begin = 0; begin < length; begin += kKeyTile) {
    const int64_t n = length - begin < kKeyTile ? length - begin : kKeyTile;
    const TileOf<K> tile = FindTile<K>(c, p, begin, n, s.tile);
    // Of this tile's keys; none or less: no key.
    const auto seen_by = [&](int64_t r) {
      const int64_t seen = p.position + p.begin + r / p.group + 1 - begin;
      return static_cast<int32_t>(seen < kKeyTile ? seen : kKeyTile);
    };
    // Rows of earlier tokens may see nothing of this tile: they stay as they are.
    int64_t row = 0;
    while (seen_by(row) <= 0) ++row;
    for (; row + kTileRows <= rows; row += kTileRows) Meet<K, kTileRows>(s, tile, row, seen_by);
    for (; row < rows; ++row) Meet<K, 1>(s, tile, row, seen_by);
  }
  for (int64_t r = 0; r < rows; ++r) {
    const float share = 1.0f / s.total[r];
    const int64_t at = r / p.group * p.out_stride + (p.kv_head * p.group + r % p.group) * s.dim;
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

void RunAttention(const CacheView& c, const AttentionPart& p, float* scratch) {
  switch (c.type) {
    case KvType::kF32:
      return AttendTo<KvOfF32>(c, p, scratch);
    case KvType::kBF16:
      return AttendTo<KvOfBF16>(c, p, scratch);
    case KvType::kInt8:
      return AttendTo<KvOfInt8>(c, p, scratch);
  }
}

}  // namespace
}  // namespace longrun::serving
