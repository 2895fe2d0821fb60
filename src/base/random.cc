#include "base/random.h"

#include <cmath>
#include <numbers>

#include "base/check.h"

namespace longrun {

uint64_t Mix64(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ull;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebull;
  x ^= x >> 31;
  return x;
}

Random::Random(uint64_t seed) {
  for (auto& word : state_) {
    seed += 0x9e3779b97f4a7c15ull;
    word = Mix64(seed);
  }
}

static uint64_t RotateLeft(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

uint64_t Random::Next() {
  const uint64_t result = RotateLeft(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = RotateLeft(state_[3], 45);
  return result;
}

uint64_t Random::Below(uint64_t n) {
  LR_CHECK_GT(n, 0u);
  const uint64_t limit = ~0ull - ~0ull % n;
  uint64_t x = Next();
  while (x >= limit) x = Next();
  return x % n;
}

int64_t Random::Between(int64_t lo, int64_t hi) {
  LR_CHECK_LE(lo, hi);
  return lo + static_cast<int64_t>(Below(static_cast<uint64_t>(hi - lo) + 1));
}

double Random::Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

double Random::Exponential(double mean) { return -mean * std::log(1.0 - Uniform()); }

double Random::Normal() {
  const double r = std::sqrt(-2.0 * std::log(1.0 - Uniform()));
  return r * std::cos(2.0 * std::numbers::pi * Uniform());
}

}  // namespace longrun
