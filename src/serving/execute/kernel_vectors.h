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
using model::loops::Tanh;

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

// The lanes' sum, halves added to halves.
inline float SumLanes(Vec v) {
  float lanes[kLanes];
  StoreVec(lanes, v);
  for (int n = kLanes / 2; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) lanes[i] += lanes[i + n];
  }
  return lanes[0];
}

inline float MaxLanes(Vec v) {
  float lanes[kLanes];
  StoreVec(lanes, v);
  float top = lanes[0];
  for (int i = 1; i < kLanes; ++i) top = top < lanes[i] ? lanes[i] : top;
  return top;
}

}  // namespace
}  // namespace longrun::serving
