// Vectors of kLanes f32 with a fused multiply-add that is the same instruction wherever it is
// written, so that two ways through a loop give the same bits. For kernels.cc alone.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <cstdint>

#include "model/cpu_math.h"
#include "serving/execute/kernels.h"

namespace longrun::serving {
namespace {

using model::loops::Exp;
using model::loops::kLanes;
using model::loops::Load;
using model::loops::Store;

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef uint32_t Words __attribute__((vector_size(kLanes * 4)));

constexpr int64_t kPanel = 2 * kLanes;

inline Vec LoadVec(const float* from) {
  Vec v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
inline Words LoadWords(const void* from) {
  Words v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
inline void StoreVec(float* to, Vec v) { __builtin_memcpy(to, &v, sizeof v); }
inline Vec Splat(float value) { return value - Vec{}; }
inline Words SplatWord(uint32_t value) { return value - Words{}; }
inline Vec AsFloats(Words w) { return reinterpret_cast<Vec>(w); }

// a·b + c, rounded once where the machine can.
inline Vec Fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

// Each to the nearest.
inline void StoreBf16(Bf16* to, Vec v) {
#if defined(__AVX512BF16__)
  const __m256bh rounded = _mm512_cvtneps_pbh((__m512)v);
  __builtin_memcpy(to, &rounded, sizeof rounded);
#else
  for (int i = 0; i < kLanes; ++i) Store(&to[i], v[i]);
#endif
}

// What a row or column whose largest size is `top` is multiplied by to become int8. All is zero
// where the inverse would be beyond f32.
inline float ToInt8(float top) { return top > 0x1p-120f ? 127.0f / top : 0.0f; }

// Lane i of the result is lane i ^ kBy of v.
template <int kBy>
inline Vec Swap(Vec v) {
#if defined(__clang__)
  Vec swapped;
  for (int i = 0; i < kLanes; ++i) swapped[i] = v[i ^ kBy];
  return swapped;
#else
  typedef int32_t Places __attribute__((vector_size(kLanes * 4)));
  Places places;
  for (int i = 0; i < kLanes; ++i) places[i] = i ^ kBy;
  return __builtin_shuffle(v, places);
#endif
}

// The lanes' sum, halves added to halves.
template <int kBy = kLanes / 2>
inline float SumLanes(Vec v) {
  if constexpr (kBy == 0) {
    return v[0];
  } else {
    return SumLanes<kBy / 2>(v + Swap<kBy>(v));
  }
}

inline Vec MaxVec(Vec a, Vec b) { return a < b ? b : a; }

// The first n lanes of v; `other` in those behind.
inline Vec FirstLanes(Vec v, int32_t n, float other) {
  typedef int32_t Places __attribute__((vector_size(kLanes * 4)));
  Places places;
  for (int i = 0; i < kLanes; ++i) places[i] = i;
  return places < n ? v : Splat(other);
}

// As model::loops::Exp, for x <= 88.
inline Vec ExpVec(Vec x) {
  x = MaxVec(x, Splat(-87.33654f));
#if defined(__AVX512F__)
  const Vec k = (Vec)_mm512_roundscale_ps((__m512)(x * 1.44269504088896341f), 8);
#else
  Vec k;
  for (int i = 0; i < kLanes; ++i) k[i] = __builtin_rintf(x[i] * 1.44269504088896341f);
#endif
  Vec r = Fma(k, Splat(-0.693359375f), x);
  r = Fma(k, Splat(2.12194440e-4f), r);
  Vec y = Splat(1.9875691500e-4f);
  y = Fma(y, r, Splat(1.3981999507e-3f));
  y = Fma(y, r, Splat(8.3334519073e-3f));
  y = Fma(y, r, Splat(4.1665795894e-2f));
  y = Fma(y, r, Splat(1.6666665459e-1f));
  y = Fma(y, r, Splat(5.0000001201e-1f));
  y = Fma(y, r * r, r + 1.0f);
#if defined(__AVX512F__)
  return (Vec)_mm512_scalef_ps((__m512)y, (__m512)k);
#else
  typedef int32_t Ints __attribute__((vector_size(kLanes * 4)));
  const Ints powers = (__builtin_convertvector(k, Ints) + 127) << 23;
  return y * reinterpret_cast<Vec>(powers);
#endif
}

template <int kBy = kLanes / 2>
inline float MaxLanes(Vec v) {
  if constexpr (kBy == 0) {
    return v[0];
  } else {
    return MaxLanes<kBy / 2>(MaxVec(v, Swap<kBy>(v)));
  }
}

// A pair of bf16 in each lane, the first in the low half, as operands of AddPairs.
#if defined(__AVX512BF16__)
struct Pairs {
  __m512bh both;
};
inline Pairs PairsOf(Words w) { return {(__m512bh)w}; }
inline Vec AddPairs(Vec sum, const Pairs& pairs, uint32_t word) {
  const __m512bh x = (__m512bh)_mm512_set1_epi32(static_cast<int>(word));
  return (Vec)_mm512_dpbf16_ps((__m512)sum, x, pairs.both);
}
#else
struct Pairs {
  Vec even, odd;
};
inline Pairs PairsOf(Words w) { return {AsFloats(w << 16), AsFloats(w & SplatWord(0xffff0000u))}; }
// sum + the products of each lane's pair and that of `word`.
inline Vec AddPairs(Vec sum, const Pairs& pairs, uint32_t word) {
  const Vec even = AsFloats(SplatWord(word << 16));
  const Vec odd = AsFloats(SplatWord(word & 0xffff0000u));
  return Fma(odd, pairs.odd, Fma(even, pairs.even, sum));
}
#endif

}  // namespace
}  // namespace longrun::serving
