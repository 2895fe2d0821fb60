// Branch-free scalar functions that compilers turn into vectors. Included by loops compiled for
// several instruction sets, so all is in an unnamed namespace: no copy may serve another set.
#pragma once

#include <cstdint>

#include "model/cpu_loops.h"

namespace longrun::model::loops {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

inline float FromBits(uint32_t bits) { return __builtin_bit_cast(float, bits); }
inline uint32_t ToBits(float value) { return __builtin_bit_cast(uint32_t, value); }

inline float Load(float value) { return value; }
inline float Load(Bf16 value) { return FromBits(static_cast<uint32_t>(value.bits) << 16); }

inline void Store(float* to, float value) { *to = value; }
// To nearest, ties to even; NaN stays NaN.
inline void Store(Bf16* to, float value) {
  const uint32_t bits = ToBits(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to->bits = static_cast<uint16_t>(value != value ? 0x7fc0u : rounded);
}

// A NaN in `a` passes through both.
inline float Max(float a, float b) { return a < b ? b : a; }
inline float Min(float a, float b) { return b < a ? b : a; }

// e^x within 2 ulp: 2^k · e^r, |r| <= ln 2 / 2, with Cephes' expf polynomial. Below -87.3: about 0.
inline float Exp(float x) {
  x = Min(Max(x, -87.33654f), 88.0f);
  const float k = __builtin_rintf(x * 1.44269504088896341f);
  float r = x - k * 0.693359375f;
  r = r - k * -2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  return y * FromBits(static_cast<uint32_t>(static_cast<int32_t>(k) + 127) << 23);
}

inline float Tanh(float x) { return 1.0f - 2.0f / (Exp(2.0f * x) + 1.0f); }

// murmur3's 32-bit finalizer.
inline uint32_t Hash(uint32_t x) {
  x ^= x >> 16;
  x *= 0x85ebca6bu;
  x ^= x >> 13;
  x *= 0xc2b2ae35u;
  return x ^ (x >> 16);
}

inline uint32_t RowSeed(uint32_t seed, int64_t row) {
  return Hash(seed + static_cast<uint32_t>(row) * 0x9e3779b1u) ^ seed;
}

// What a kept element is multiplied by, or 0.
inline float Keep(const DropoutPlan& plan, uint32_t row_seed, int64_t column) {
  const uint32_t hash = Hash(row_seed + static_cast<uint32_t>(column) * 0x9e3779b1u);
  return (hash >> 8) >= plan.threshold ? plan.scale : 0.0f;
}

}  // namespace
}  // namespace longrun::model::loops
