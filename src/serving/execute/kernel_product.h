// y = x·Wᵀ on packed operands. For kernels.cc alone.
//
// A tile holds M rows of x against the two vectors of a panel in registers, and walks all of k: one
// accumulator for each element, so that its sum has the same order for every M.
#pragma once

#include <type_traits>

#include "serving/execute/kernel_vectors.h"

namespace longrun::serving {
namespace {

constexpr int kMaxRows = kLanes == 16 ? 12 : 4;

// How a step's weights become operands, and how they meet a word of x.
struct OfF32 {
  static constexpr int64_t kStepBytes = kPanel * 4;
  struct Step {
    Vec w[2];
  };
  static inline Step LoadStep(const std::byte* at) {
    const auto* from = reinterpret_cast<const float*>(at);
    return {{LoadVec(from), LoadVec(from + kLanes)}};
  }
  static inline void Add(Vec* sums, const Step& step, uint32_t word) {
    const Vec x = AsFloats(SplatWord(word));
    sums[0] = Fma(x, step.w[0], sums[0]);
    sums[1] = Fma(x, step.w[1], sums[1]);
  }
};

struct OfBF16 {
  static constexpr int64_t kStepBytes = kPanel * 4;
  struct Step {
    Pairs w[2];
  };
  static inline Step LoadStep(const std::byte* at) {
    return {{PairsOf(LoadWords(at)), PairsOf(LoadWords(at + kLanes * 4))}};
  }
  static inline void Add(Vec* sums, const Step& step, uint32_t word) {
    sums[0] = AddPairs(sums[0], step.w[0], word);
    sums[1] = AddPairs(sums[1], step.w[1], word);
  }
};

#if defined(__AVX512BF16__)

// A byte is a sign and seven bits of magnitude. Two tables of 128 bytes give the high and the low
// byte of the magnitude as bf16, which is exact; interleaved, they are pairs.
struct ByteTables {
  uint8_t low[128], high[128];
};
constexpr ByteTables MakeByteTables() {
  ByteTables tables = {};
  for (int i = 0; i < 128; ++i) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, static_cast<float>(i)) >> 16;
    tables.low[i] = static_cast<uint8_t>(bits);
    tables.high[i] = static_cast<uint8_t>(bits >> 8);
  }
  return tables;
}
alignas(64) constexpr ByteTables kByteTables = MakeByteTables();

struct OfInt8 {
  static constexpr int64_t kStepBytes = kPanel * 2;
  using Step = OfBF16::Step;
  static inline Step LoadStep(const std::byte* at) {
    const __m512i bytes = _mm512_loadu_si512(at);
    const __m512i low = _mm512_permutex2var_epi8(_mm512_load_si512(kByteTables.low), bytes,
                                                 _mm512_load_si512(kByteTables.low + 64));
    __m512i high = _mm512_permutex2var_epi8(_mm512_load_si512(kByteTables.high), bytes,
                                            _mm512_load_si512(kByteTables.high + 64));
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    high = _mm512_ternarylogic_epi32(high, bytes, sign, 0xf8);  // high | (bytes & sign)
    return {{PairsOf((Words)_mm512_unpacklo_epi8(low, high)),
             PairsOf((Words)_mm512_unpackhi_epi8(low, high))}};
  }
  static inline void Add(Vec* sums, const Step& step, uint32_t word) {
    OfBF16::Add(sums, step, word);
  }
};

inline uint8_t PackedByte(int value) {
  return static_cast<uint8_t>(value < 0 ? 0x80 | -value : value);
}
// unpacklo takes the first eight bytes of each sixteen, unpackhi the others.
inline int64_t PackedPlace(int64_t column, int64_t half) {
  const int64_t c = column % 16;
  return c / 4 * 16 + (column / 16) * 8 + c % 4 * 2 + half;
}

#else

struct OfInt8 {
  static constexpr int64_t kStepBytes = kPanel * 2;
  using Step = OfBF16::Step;
  static inline Vec Expand(const std::byte* at) {
    typedef int8_t Bytes __attribute__((vector_size(kLanes)));
    Bytes bytes;
    __builtin_memcpy(&bytes, at, sizeof bytes);
    return __builtin_convertvector(bytes, Vec);
  }
  static inline Step LoadStep(const std::byte* at) {
    Step step;
    for (int z = 0; z < 2; ++z) {
      step.w[z] = {Expand(at + z * kLanes), Expand(at + kPanel + z * kLanes)};
    }
    return step;
  }
  static inline void Add(Vec* sums, const Step& step, uint32_t word) {
    OfBF16::Add(sums, step, word);
  }
};

inline uint8_t PackedByte(int value) { return static_cast<uint8_t>(value); }
inline int64_t PackedPlace(int64_t column, int64_t half) { return half * kPanel + column; }

#endif

// Weights that a tile fetches while it computes: `step_bytes` for each of its steps.
struct Ahead {
  const std::byte* from;
  int64_t step_bytes;
};
constexpr int64_t kAheadBytes = 4096;  // in front of a panel that is walked once

inline void FetchToWrite(const std::byte* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 1);
}

// sums [M, kPanel] = x · panelᵀ; x: word s of row i at x[s·stride + i].
template <class W, int M>
inline void Tile(const uint32_t* __restrict x, int64_t stride, const std::byte* __restrict panel,
                 int64_t steps, Ahead ahead, float* __restrict to) {
  Vec sums[M][2];
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) sums[i][0] = sums[i][1] = Vec{};
  for (int64_t s = 0; s < steps; ++s) {
    const std::byte* fetched = ahead.from + s * ahead.step_bytes;
    __builtin_prefetch(fetched);
    if constexpr (W::kStepBytes > 64) __builtin_prefetch(fetched + 64);
    const auto step = W::LoadStep(panel + s * W::kStepBytes);
#pragma GCC unroll 16
    for (int i = 0; i < M; ++i) W::Add(sums[i], step, x[s * stride + i]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < M; ++i) {
    StoreVec(to + i * kPanel, sums[i][0]);
    StoreVec(to + i * kPanel + kLanes, sums[i][1]);
  }
}

template <class W, int M = kMaxRows>
inline void AnyTile(int64_t rows, const uint32_t* x, const std::byte* panel, int64_t steps,
                    Ahead ahead, float* to) {
  if constexpr (M > 0) {
    if (rows == M) return Tile<W, M>(x, M, panel, steps, ahead, to);
    return AnyTile<W, M - 1>(rows, x, panel, steps, ahead, to);
  }
}

// x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2 (Hendrycks and Gimpel 2016), which is x · σ of twice
// that: no difference of near numbers.
inline float Gelu(float x) {
  return x / (1.0f + Exp(x * (-1.5957691216057308f - 0.0713548162726009f * x * x)));
}
inline float Silu(float x) { return x / (1.0f + Exp(-x)); }

// The first n results of a row to their place from column `begin` on.
template <class N>
inline void Put(const Product& p, const float* __restrict results, N n, int64_t begin, void* row) {
  float* __restrict f32 = static_cast<float*>(row) + begin;
  if (p.after == After::kAdd) {
    for (int64_t j = 0; j < n; ++j) f32[j] += results[j];
  } else if (p.after == After::kStore || p.w->type == WeightType::kF32) {
    for (int64_t j = 0; j < n; ++j) f32[j] = results[j];
  } else {
    Bf16* __restrict out = static_cast<Bf16*>(row) + begin;
    const int64_t whole = n / kLanes * kLanes;
    for (int64_t j = 0; j < whole; j += kLanes) StoreBf16(out + j, LoadVec(results + j));
    for (int64_t j = whole; j < n; ++j) Store(&out[j], results[j]);
  }
}

// A row of sums [kPanel] becomes results in `row` of the output.
inline void Finish(const Product& p, int64_t panel, float* __restrict sums, const float* scales,
                   void* row) {
  if (scales != nullptr) {
    for (int64_t j = 0; j < kPanel; ++j) sums[j] *= scales[j];
  }
  if (p.bias != nullptr) {
    const float* __restrict bias = p.bias + panel * kPanel;
    for (int64_t j = 0; j < kPanel; ++j) sums[j] += bias[j];
  }
  if (p.after == After::kSwiGlu) {
    for (int64_t j = 0; j < kLanes; ++j) sums[j] = Silu(sums[j]) * sums[j + kLanes];
  } else if (p.after == After::kGelu) {
    for (int64_t j = 0; j < kPanel; ++j) sums[j] = Gelu(sums[j]);
  }
  const int64_t width = p.after == After::kSwiGlu ? kLanes : kPanel;
  const int64_t begin = panel * width;
  const int64_t n = p.columns - begin < width ? p.columns - begin : width;
  if (n == kPanel) {
    Put(p, sums, std::integral_constant<int64_t, kPanel>(), begin, row);
  } else {
    Put(p, sums, n, begin, row);
  }
}

template <class W>
void ProductOf(const Product& p, const ProductPart& part) {
  const int64_t steps = p.w->steps();
  const int64_t tiles = (p.rows + kMaxRows - 1) / kMaxRows;
  const int64_t tile_rows = (p.rows + tiles - 1) / tiles;
  const bool f32_out =
      p.w->type == WeightType::kF32 || p.after == After::kStore || p.after == After::kAdd;
  const int64_t element_bytes = f32_out ? 4 : 2;
  const int64_t panel_out_bytes = element_bytes * (p.after == After::kSwiGlu ? kLanes : kPanel);
  alignas(64) float sums[kMaxRows * kPanel];
  for (int64_t panel = part.panel_begin; panel < part.panel_end; ++panel) {
    const std::byte* weights = p.w->data + panel * p.w->panel_bytes;
    const float* scales = p.w->scales == nullptr ? nullptr : p.w->scales + panel * kPanel;
    // A panel that is walked many times is near from the second on: each walk fetches its share of
    // what follows, the next panel or the next matrix, so that memory is read evenly.
    const int64_t share_bytes = steps * W::kStepBytes / tiles;
    const std::byte* next = weights + p.w->panel_bytes;
    Ahead ahead = {weights + kAheadBytes, W::kStepBytes};
    if (tiles > 1) ahead = {next + part.tile_begin * share_bytes, W::kStepBytes / tiles};
    for (int64_t tile = part.tile_begin; tile < part.tile_end; ++tile) {
      const int64_t row = tile * tile_rows;
      const int64_t rows = p.rows - row < tile_rows ? p.rows - row : tile_rows;
      const auto out = [&](int64_t i) {
        return static_cast<std::byte*>(p.out) + (row + i) * p.out_stride * element_bytes;
      };
      for (int64_t i = 0; i < rows; ++i) {
        FetchToWrite(out(i) + panel * panel_out_bytes, panel_out_bytes);
      }
      AnyTile<W>(rows, static_cast<const uint32_t*>(p.x) + row * steps, weights, steps, ahead,
                 sums);
      if (tiles > 1) ahead.from += share_bytes;
      for (int64_t i = 0; i < rows; ++i) Finish(p, panel, sums + i * kPanel, scales, out(i));
    }
  }
}

void RunProduct(const Product& p, const ProductPart& part) {
  switch (p.w->type) {
    case WeightType::kF32:
      return ProductOf<OfF32>(p, part);
    case WeightType::kBF16:
      return ProductOf<OfBF16>(p, part);
    case WeightType::kInt8:
      return ProductOf<OfInt8>(p, part);
  }
}

void PackRowsTile(const uint32_t* x, int64_t stride_words, int64_t rows, int64_t words,
                  int64_t tile, uint32_t* to) {
  const int64_t tiles = (rows + kMaxRows - 1) / kMaxRows;
  const int64_t tile_rows = (rows + tiles - 1) / tiles;
  const int64_t first = tile * tile_rows;
  const int64_t m = rows - first < tile_rows ? rows - first : tile_rows;
  uint32_t* out = to + first * words;
  constexpr int64_t kWordsAtOnce = 64;  // whose places stay near for all rows
  for (int64_t begin = 0; begin < words; begin += kWordsAtOnce) {
    const int64_t end = begin + kWordsAtOnce < words ? begin + kWordsAtOnce : words;
    for (int64_t i = 0; i < m; ++i) {
      const uint32_t* from = x + (first + i) * stride_words;
      for (int64_t s = begin; s < end; ++s) out[s * m + i] = from[s];
    }
  }
}

void PackPanel(WeightType type, const float* columns, int64_t k, std::byte* to, float* scales) {
  for (int64_t c = 0; c < kPanel; ++c) {
    const float* column = columns + c * k;
    if (type == WeightType::kF32) {
      auto* out = reinterpret_cast<float*>(to);
      for (int64_t i = 0; i < k; ++i) out[i * kPanel + c] = column[i];
    } else if (type == WeightType::kBF16) {
      auto* out = reinterpret_cast<Bf16*>(to);
      for (int64_t i = 0; i < k; ++i) Store(&out[(i / 2 * kPanel + c) * 2 + i % 2], column[i]);
    } else {
      float top = 0;
      for (int64_t i = 0; i < k; ++i) {
        const float size = __builtin_fabsf(column[i]);
        top = top < size ? size : top;
      }
      scales[c] = top / 127.0f;
      const float inverse = ToInt8(top);
      auto* out = reinterpret_cast<uint8_t*>(to);
      for (int64_t i = 0; i < k; ++i) {
        const int value = static_cast<int>(__builtin_rintf(column[i] * inverse));
        out[i / 2 * kPanel * 2 + PackedPlace(c, i % 2)] = PackedByte(value);
      }
    }
  }
}

void PackStep(WeightType type, const float* rows, std::byte* to) {
  if (type == WeightType::kF32) {
    __builtin_memcpy(to, rows, kPanel * 4);
    return;
  }
  auto* __restrict out = reinterpret_cast<Bf16*>(to);
  for (int64_t c = 0; c < kPanel; ++c) {
    Store(&out[2 * c], rows[c]);
    Store(&out[2 * c + 1], rows[kPanel + c]);
  }
}

// The loop of Tile on what stays in the nearest cache; returns how many operations that were.
template <class W>
double SpinOn(int64_t tiles) {
  constexpr int64_t kSteps = 128;
  alignas(64) static std::byte panel[kPanel * 4 * kSteps] = {};
  alignas(64) float sums[kMaxRows * kPanel];
  alignas(64) uint32_t x[kMaxRows * kSteps] = {};
  for (int64_t i = 0; i < tiles; ++i) {
    Tile<W, kMaxRows>(x, kMaxRows, panel, kSteps, {panel, W::kStepBytes}, sums);
    asm volatile("" : : "r"(panel), "r"(x), "r"(sums) : "memory");  // none may be left out
  }
  const double products = static_cast<double>(kMaxRows * kPanel * kSteps * tiles);
  return products * (std::is_same_v<W, OfF32> ? 2 : 4);
}

double Spin(WeightType type, int64_t tiles) {
  return type == WeightType::kF32 ? SpinOn<OfF32>(tiles) : SpinOn<OfBF16>(tiles);
}

}  // namespace
}  // namespace longrun::serving
