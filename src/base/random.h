// Seeded randomness, passed as an argument to whatever decides. The same seed gives the same
// numbers on every machine and compiler, which std:: distributions do not promise.
#pragma once

#include <array>
#include <cstdint>

namespace longrun {

// A well-mixed 64-bit hash of x (splitmix64's finalizer).
uint64_t Mix64(uint64_t x);

// xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64.
class Random {
 public:
  explicit Random(uint64_t seed);
  uint64_t Next();
  // Uniform in [0, n); n > 0. Unbiased.
  uint64_t Below(uint64_t n);
  // Uniform in [lo, hi], both included.
  int64_t Between(int64_t lo, int64_t hi);
  // Uniform in [0, 1) with 53 bits.
  double Uniform();
  bool Chance(double probability) { return Uniform() < probability; }
  // Exponential with the given mean.
  double Exponential(double mean);
  // Standard normal (Box and Muller).
  double Normal();

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace longrun
