// Keys and values in the blocks of a cache, and a tile of them as attention meets it. For
// kernels.cc alone.
//
// A head of a block has keys [head_dim / kSpan][tokens] and values [tokens / kSpan][head_dim] of
// cells. A cell holds the kSpan elements that one operation multiplies and adds: two bf16, of
// neighbouring dimensions or tokens, else one element. After them int8 has its scales, of keys
// [tokens] and of values [tokens].
#pragma once

#include "serving/execute/kernel_vectors.h"

namespace longrun::serving {
namespace {

// `words` meet cells: queries [head_dim / kSpan], shares [tokens / kSpan].
struct KvOfF32 {
  using Element = float;
  using Cell = float;
  using Operand = Vec;
  static constexpr int kSpan = 1;
  static constexpr bool kScaled = false;
  static inline Operand Load(const Cell* at) { return LoadVec(at); }
  static inline Vec Add(Vec sum, const Operand& cells, uint32_t word) {
    return Fma(AsFloats(SplatWord(word)), cells, sum);
  }
};

struct KvOfInt8 : KvOfF32 {
  using Element = int8_t;
  using Cell = int8_t;
  static constexpr bool kScaled = true;
  static inline Operand Load(const Cell* at) {
    typedef int8_t Bytes __attribute__((vector_size(kLanes)));
    Bytes bytes;
    __builtin_memcpy(&bytes, at, sizeof bytes);
    return __builtin_convertvector(bytes, Vec);
  }
};

struct KvOfBF16 {
  using Element = Bf16;
  using Cell = uint32_t;
  using Operand = Pairs;
  static constexpr int kSpan = 2;
  static constexpr bool kScaled = false;
  static inline Operand Load(const Cell* at) { return PairsOf(LoadWords(at)); }
  // Without the second of each pair, which may be of a token that is not there: even 0 · NaN must
  // not be added.
  static inline Operand LoadFirst(const Cell* at) {
    return PairsOf(LoadWords(at) & SplatWord(0xffffu));
  }
  static inline Vec Add(Vec sum, const Operand& cells, uint32_t word) {
    return AddPairs(sum, cells, word);
  }
};

// Of one head in one block.
template <class K>
struct HeadOf {
  HeadOf(const CacheView& c, BlockId block, int64_t kv_head)
      : keys(reinterpret_cast<typename K::Cell*>(c.base + block * c.block_bytes +
                                                 kv_head * c.head_bytes)),
        values(keys + c.block_tokens * c.head_dim / K::kSpan),
        key_scales(reinterpret_cast<float*>(values + c.block_tokens * c.head_dim / K::kSpan)),
        value_scales(key_scales + c.block_tokens) {}

  typename K::Cell* keys;
  typename K::Cell* values;
  float* key_scales;  // both: of K::kScaled alone
  float* value_scales;
};

constexpr int64_t kRun = kTokensAtOnce;  // of a tile that lie together
constexpr int64_t kRuns = kKeyTile / kRun;

// kKeyTile tokens of a sequence. What lies behind its last token may be anything.
template <class K>
struct TileOf {
  const typename K::Cell* keys[kRuns];    // [head_dim / kSpan][key_stride]
  const typename K::Cell* values[kRuns];  // [kRun / kSpan][value_stride]
  const float* key_scales[kRuns];
  const float* value_scales[kRuns];
  int64_t key_stride, value_stride;
};

// Where the tiles that cannot be read from their blocks are copied to.
struct TileScratch {
  float* keys;    // [head_dim, kKeyTile]
  float* values;  // [kKeyTile, padded]: behind head_dim, zeros
  float* scales;  // [2, kKeyTile]
  int64_t padded;
};

template <class K>
TileOf<K> CopiedTile(const CacheView& c, const AttentionPart& p, int64_t begin, int64_t n,
                     const TileScratch& to) {
  auto* keys = reinterpret_cast<typename K::Cell*>(to.keys);
  auto* values = reinterpret_cast<typename K::Cell*>(to.values);
  for (int64_t done = 0; done < n;) {
    const int64_t slot = (begin + done) % c.block_tokens;
    const int64_t left = c.block_tokens - slot;
    const int64_t run = n - done < left ? n - done : left;
    const HeadOf<K> from(c, p.blocks[(begin + done) / c.block_tokens], p.kv_head);
    for (int64_t d = 0; d < c.head_dim / K::kSpan; ++d) {
      for (int64_t j = 0; j < run; ++j) {
        keys[d * kKeyTile + done + j] = from.keys[d * c.block_tokens + slot + j];
      }
    }
    for (int64_t j = 0; j < run; j += K::kSpan) {
      for (int64_t d = 0; d < c.head_dim; ++d) {
        values[(done + j) / K::kSpan * to.padded + d] =
            from.values[(slot + j) / K::kSpan * c.head_dim + d];
      }
    }
    if constexpr (K::kScaled) {
      for (int64_t j = 0; j < run; ++j) {
        to.scales[done + j] = from.key_scales[slot + j];
        to.scales[kKeyTile + done + j] = from.value_scales[slot + j];
      }
    }
    done += run;
  }
  TileOf<K> tile;
  for (int64_t r = 0; r < kRuns; ++r) {
    tile.keys[r] = keys + r * kRun;
    tile.values[r] = values + r * kRun / K::kSpan * to.padded;
    tile.key_scales[r] = to.scales + r * kRun;
    tile.value_scales[r] = to.scales + kKeyTile + r * kRun;
  }
  tile.key_stride = kKeyTile;
  tile.value_stride = to.padded;
  return tile;
}

constexpr int64_t kFetchBytes = 8192;  // of a block, at most

// Tokens [begin, begin + n) of the sequence, n <= kKeyTile, in their blocks wherever vectors of
// them can be loaded there; those of the next tile are fetched.
template <class K>
inline TileOf<K> FindTile(const CacheView& c, const AttentionPart& p, int64_t begin, int64_t n,
                          const TileScratch& scratch) {
  const int64_t end = p.position + p.end;
  const int64_t next = end < begin + 2 * kKeyTile ? end : begin + 2 * kKeyTile;
  const int64_t head_bytes = c.block_tokens * c.head_dim * 2 * sizeof(typename K::Element);
  for (int64_t token = begin + kKeyTile; token < next; token += c.block_tokens) {
    const auto* from = reinterpret_cast<const std::byte*>(
        HeadOf<K>(c, p.blocks[token / c.block_tokens], p.kv_head).keys);
    for (int64_t i = 0; i < head_bytes && i < kFetchBytes; i += 64) __builtin_prefetch(from + i);
  }
  if (c.block_tokens % kRun != 0 || c.head_dim != scratch.padded) {
    return CopiedTile<K>(c, p, begin, n, scratch);
  }
  TileOf<K> tile;
  for (int64_t r = 0; r < kRuns; ++r) {
    const int64_t token = begin + (r * kRun < n ? r * kRun : 0);
    const int64_t slot = token % c.block_tokens;
    const HeadOf<K> from(c, p.blocks[token / c.block_tokens], p.kv_head);
    tile.keys[r] = from.keys + slot;
    tile.values[r] = from.values + slot / K::kSpan * c.head_dim;
    tile.key_scales[r] = from.key_scales + slot;
    tile.value_scales[r] = from.value_scales + slot;
  }
  tile.key_stride = c.block_tokens;
  tile.value_stride = c.head_dim;
  return tile;
}

// What a row is multiplied by to become int8, and its scale.
inline float Int8Scale(const float* row, int64_t dim, float* scale) {
  float top = 0;
  for (int64_t d = 0; d < dim; ++d) {
    const float size = __builtin_fabsf(row[d]);
    top = top < size ? size : top;
  }
  *scale = top / 127.0f;
  return ToInt8(top);
}

inline void StoreElement(float* to, float value, float) { *to = value; }
inline void StoreElement(Bf16* to, float value, float) { Store(to, value); }
inline void StoreElement(int8_t* to, float value, float inverse) {
  *to = static_cast<int8_t>(__builtin_rintf(value * inverse));
}

constexpr int64_t kDimsAtOnce = 32;

// Both ways in: rows become elements side by side, and those go to their cells.
template <class K>
void StoreTokens(const CacheView& c, const NewTokens& t) {
  using Element = typename K::Element;
  using Cell = typename K::Cell;
  const HeadOf<K> head(c, t.block, t.kv_head);
  float of_key[kRun], of_value[kRun];
  if constexpr (K::kScaled) {
    for (int64_t j = 0; j < t.tokens; ++j) {
      of_key[j] = Int8Scale(t.keys + j * t.stride, c.head_dim, head.key_scales + t.slot + j);
      of_value[j] = Int8Scale(t.values + j * t.stride, c.head_dim, head.value_scales + t.slot + j);
    }
  }
  alignas(64) Element rows[kRun][kDimsAtOnce];
  const auto convert = [&](const float* from, const float* inverse, int64_t n) {
    for (int64_t j = 0; j < t.tokens; ++j) {
      const float* __restrict row = from + j * t.stride;
      const float scale = K::kScaled ? inverse[j] : 1.0f;
      for (int64_t d = 0; d < n; ++d) StoreElement(&rows[j][d], row[d], scale);
    }
  };
  for (int64_t first = 0; first < c.head_dim; first += kDimsAtOnce) {
    const int64_t n = c.head_dim - first < kDimsAtOnce ? c.head_dim - first : kDimsAtOnce;
    convert(t.keys + first, of_key, n);
    for (int64_t d = 0; d < n; d += K::kSpan) {
      Cell* to = head.keys + (first + d) / K::kSpan * c.block_tokens + t.slot;
      for (int64_t j = 0; j < t.tokens; ++j) __builtin_memcpy(to + j, &rows[j][d], sizeof(Cell));
    }
    convert(t.values + first, of_value, n);
    for (int64_t j = 0; j < t.tokens; ++j) {
      const int64_t slot = t.slot + j;
      Cell* to = head.values + slot / K::kSpan * c.head_dim + first;
      if (K::kSpan == 2 && slot % 2 == 0 && j + 1 < t.tokens) {
        auto* __restrict pairs = reinterpret_cast<Element*>(to);
        for (int64_t d = 0; d < n; ++d) {
          pairs[2 * d] = rows[j][d];
          pairs[2 * d + 1] = rows[j + 1][d];
        }
        ++j;
      } else {
        auto* __restrict elements = reinterpret_cast<Element*>(to) + slot % K::kSpan;
        for (int64_t d = 0; d < n; ++d) elements[d * K::kSpan] = rows[j][d];
      }
    }
  }
}

void StoreKv(const CacheView& c, const NewTokens& t) {
  switch (c.type) {
    case KvType::kF32:
      return StoreTokens<KvOfF32>(c, t);
    case KvType::kBF16:
      return StoreTokens<KvOfBF16>(c, t);
    case KvType::kInt8:
      return StoreTokens<KvOfInt8>(c, t);
  }
}

}  // namespace
}  // namespace longrun::serving
