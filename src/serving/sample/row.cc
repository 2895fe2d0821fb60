#include "serving/sample/row.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

// One version of each pass for each vector unit, chosen when the program starts. Sanitizers come
// too late for that.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define LR_BEST_UNIT __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LR_BEST_UNIT
#endif

namespace longrun::serving {
namespace {

using model::TokenId;

// Sixteen lanes whatever the vector unit: so the order of a sum is always the same.
constexpr size_t kLanes = 16;
typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
static_assert(kRowBlock % kLanes == 0);

constexpr float kInfinity = std::numeric_limits<float>::infinity();

#define LR_INLINE inline __attribute__((always_inline))

LR_INLINE Floats Load(const float* from) {
  Floats v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// The first `n` < kLanes of them, and -inf.
LR_INLINE Floats LoadSome(const float* from, size_t n) {
  float padded[kLanes];
  for (size_t i = 0; i < kLanes; ++i) padded[i] = i < n ? from[i] : -kInfinity;
  return Load(padded);
}

LR_INLINE Floats LoadUpTo(const float* from, size_t n) {
  return n >= kLanes ? Load(from) : LoadSome(from, n);
}

LR_INLINE Floats Splat(float x) { return Floats{} + x; }

// By bits: what a compiler makes of a choice between vectors differs.
LR_INLINE Floats Max(Floats a, Floats b) {
  const Ints first = a > b;
  return (Floats)((first & (Ints)a) | (~first & (Ints)b));
}

LR_INLINE bool Any(Ints mask) {
  uint64_t words[kLanes / 2];
  std::memcpy(words, &mask, sizeof words);
  uint64_t any = 0;
  for (const uint64_t word : words) any |= word;
  return any != 0;
}

LR_INLINE float Largest(Floats v) {
  float most = v[0];
  for (size_t i = 1; i < kLanes; ++i) most = std::max(most, v[i]);
  return most;
}

LR_INLINE double Sum(Floats v) {
  double sum = 0;
  for (size_t i = 0; i < kLanes; ++i) sum += v[i];
  return sum;
}

// exp of x <= 0, by 2^n · exp(r) with |r| <= ln 2 / 2 and the polynomial of Cephes' expf (Moshier).
LR_INLINE Floats Exp(Floats x) {
  constexpr float kRound = 12582912.0f;  // 1.5 · 2^23: adding it rounds to a whole number
  const Floats shifted = x * 1.44269504088896341f + kRound;
  const Floats n = shifted - kRound;
  const Floats r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Floats p = Splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Ints power = ((Ints)shifted - (Ints)Splat(kRound)) << 23;
  const Ints tiny = x < -87.0f;  // and -inf
  return (Floats)(((Ints)p + power) & ~tiny);
}

struct BlockPeak {
  Floats largest;
  Ints not_a_number;
};

LR_INLINE BlockPeak LargestOf(std::span<const float> block) {
  constexpr size_t kChains = 4;  // each waits for itself alone
  Floats largest[kChains];
  Ints invalid[kChains] = {};
  for (Floats& l : largest) l = Splat(-kInfinity);
  size_t i = 0;
  for (; i + kChains * kLanes <= block.size(); i += kChains * kLanes) {
    for (size_t c = 0; c < kChains; ++c) {
      const Floats v = Load(block.data() + i + c * kLanes);
      invalid[c] |= v != v;
      largest[c] = Max(v, largest[c]);
    }
  }
  for (; i < block.size(); i += kLanes) {
    const Floats v = LoadUpTo(block.data() + i, block.size() - i);
    invalid[0] |= v != v;
    largest[0] = Max(v, largest[0]);
  }
  return {Max(Max(largest[0], largest[1]), Max(largest[2], largest[3])),
          invalid[0] | invalid[1] | invalid[2] | invalid[3]};
}

}  // namespace

LR_BEST_UNIT Peak FindPeak(std::span<const float> row) {
  float most = -kInfinity;
  size_t best_block = 0;
  Ints not_a_number = {};
  for (size_t begin = 0; begin < row.size(); begin += kRowBlock) {
    const size_t end = std::min<size_t>(begin + kRowBlock, row.size());
    const auto [largest, block_invalid] = LargestOf(row.subspan(begin, end - begin));
    not_a_number |= block_invalid;
    const float block_most = Largest(largest);
    if (block_most > most) {
      most = block_most;
      best_block = begin;
    }
  }
  Peak peak;
  peak.value = most;
  peak.valid = std::isfinite(most) && !Any(not_a_number);
  if (!peak.valid) return peak;
  size_t at = best_block;
  while (row[at] != most) ++at;
  peak.token = static_cast<TokenId>(at);
  return peak;
}

LR_BEST_UNIT double Weigh(std::span<const float> row, float peak, float scale,
                          std::span<float> weights, std::vector<double>* block_sums) {
  block_sums->clear();
  double total = 0;
  for (size_t begin = 0; begin < row.size(); begin += kRowBlock) {
    const size_t end = std::min<size_t>(begin + kRowBlock, row.size());
    Floats sum = {};
    for (size_t i = begin; i < end; i += kLanes) {
      const Floats w = Exp((LoadUpTo(row.data() + i, end - i) - peak) * scale);
      if (!weights.empty()) {
        std::memcpy(weights.data() + i, &w, std::min(end - i, kLanes) * sizeof(float));
      }
      sum += w;
    }
    block_sums->push_back(Sum(sum));
    total += block_sums->back();
  }
  return total;
}

LR_BEST_UNIT double SumOfExp(std::span<const float> row, float peak) {
  double total = 0;
  for (size_t begin = 0; begin < row.size(); begin += kRowBlock) {
    const size_t end = std::min<size_t>(begin + kRowBlock, row.size());
    Floats sum = {};
    for (size_t i = begin; i < end; i += kLanes) {
      sum += Exp(LoadUpTo(row.data() + i, end - i) - peak);
    }
    total += Sum(sum);
  }
  return total;
}

LR_BEST_UNIT void AppendAtLeast(std::span<const float> row, float least,
                                std::vector<TokenId>* tokens) {
  constexpr size_t kGroup = 4 * kLanes;  // looked at one by one where any is large enough
  for (size_t begin = 0; begin < row.size(); begin += kGroup) {
    const size_t end = std::min(begin + kGroup, row.size());
    Ints large = {};
    for (size_t i = begin; i < end; i += kLanes) {
      large |= LoadUpTo(row.data() + i, end - i) >= least;
    }
    if (!Any(large)) continue;
    for (size_t i = begin; i < end; ++i) {
      if (row[i] >= least) tokens->push_back(static_cast<TokenId>(i));
    }
  }
}

namespace {

// Of weights: those that are not negative are in the order of their bits. Compilers take vectors
// of comparisons apart.
LR_INLINE Ints AllBitsWhereAtLeast(Floats weights, float least) {
  return ~(((Ints)weights - (Ints)Splat(least)) >> 31);
}

}  // namespace

LR_BEST_UNIT Mass MassAtLeast(std::span<const float> weights, float least,
                              std::vector<double>* block_sums) {
  block_sums->clear();
  Mass mass;
  for (size_t begin = 0; begin < weights.size(); begin += kRowBlock) {
    const size_t end = std::min<size_t>(begin + kRowBlock, weights.size());
    Floats sum = {};
    Ints count = {};
    for (size_t i = begin; i < end; i += kLanes) {
      const Floats w = LoadUpTo(weights.data() + i, end - i);
      const Ints enough = AllBitsWhereAtLeast(w, least);
      sum += (Floats)((Ints)w & enough);
      count -= enough;
    }
    block_sums->push_back(Sum(sum));
    mass.sum += block_sums->back();
    for (size_t i = 0; i < kLanes; ++i) mass.count += count[i];
  }
  return mass;
}

LR_BEST_UNIT void AppendBetween(std::span<const float> weights, float least, float below,
                                std::vector<TokenId>* tokens) {
  constexpr size_t kGroup = 4 * kLanes;  // looked at one by one where any is between
  for (size_t begin = 0; begin < weights.size(); begin += kGroup) {
    const size_t end = std::min(begin + kGroup, weights.size());
    Ints between = {};
    for (size_t i = begin; i < end; i += kLanes) {
      const Floats w = LoadUpTo(weights.data() + i, end - i);
      between |= AllBitsWhereAtLeast(w, least) & ~AllBitsWhereAtLeast(w, below);
    }
    if (!Any(between)) continue;
    for (size_t i = begin; i < end; ++i) {
      if (weights[i] >= least && weights[i] < below) tokens->push_back(static_cast<TokenId>(i));
    }
  }
}

namespace {

constexpr size_t kSections = 64;

// Maxima of kSections · kLanes parts of the row that do not overlap.
LR_BEST_UNIT std::vector<float> PartMaxima(std::span<const float> row) {
  std::vector<float> maxima(kSections * kLanes);
  const size_t section = (row.size() / kSections + kLanes) / kLanes * kLanes;
  for (size_t s = 0; s < kSections; ++s) {
    const size_t begin = std::min(s * section, row.size());
    const size_t end = std::min(begin + section, row.size());
    Floats largest = Splat(-kInfinity);
    for (size_t i = begin; i < end; i += kLanes) {
      largest = Max(LoadUpTo(row.data() + i, end - i), largest);
    }
    std::memcpy(maxima.data() + s * kLanes, &largest, sizeof largest);
  }
  return maxima;
}

}  // namespace

std::vector<TokenId> Largest(std::span<const float> row, int64_t k) {
  std::vector<TokenId> tokens;
  const auto n = static_cast<size_t>(k);
  // k parts have a maximum of at least `least`, so k values are at least that: few others are.
  float least = -kInfinity;
  if (n <= kSections * kLanes / 2) {
    std::vector<float> maxima = PartMaxima(row);
    std::nth_element(maxima.begin(), maxima.begin() + static_cast<int64_t>(n) - 1, maxima.end(),
                     std::greater<>());
    least = maxima[n - 1];
  }
  AppendAtLeast(row, least, &tokens);
  if (tokens.size() <= n) return tokens;
  std::vector<float> values;
  for (const TokenId t : tokens) values.push_back(row[static_cast<size_t>(t)]);
  const auto last = values.begin() + static_cast<int64_t>(n) - 1;
  std::nth_element(values.begin(), last, values.end(), std::greater<>());
  // Of those equal to the smallest kept, the first.
  const float smallest = *last;
  auto equals = std::count(values.begin(), last + 1, smallest);
  std::erase_if(tokens, [&](TokenId t) {
    const float value = row[static_cast<size_t>(t)];
    return value < smallest || (value == smallest && equals-- <= 0);
  });
  return tokens;
}

}  // namespace longrun::serving
