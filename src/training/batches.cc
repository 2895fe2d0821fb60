#include "training/batches.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"
#include "base/random.h"

namespace longrun::training {
namespace {

constexpr int kFeistelRounds = 8;

// Two numbers that a pure function of (seed, epoch) needs may not be the same.
enum class Purpose : uint64_t { kPhase = 1, kOrder = 2 };

uint64_t KeyOf(uint64_t seed, int64_t epoch, Purpose purpose) {
  return Random(Mix64(seed + 0x9e3779b97f4a7c15ull * static_cast<uint64_t>(epoch)) ^
                static_cast<uint64_t>(purpose))
      .Next();
}

// By how many tokens an epoch's windows may be shifted: what they leave over, ends included.
int64_t LargestPhase(int64_t context, int64_t token_count) {
  return token_count - 1 - WindowsPerEpoch(context, token_count) * context;
}

// One pass over an even number of bits: a permutation of [0, 2^(2·half_bits)) for any key.
uint64_t Feistel(uint64_t x, int half_bits, uint64_t key) {
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  uint64_t left = x >> half_bits;
  uint64_t right = x & mask;
  for (uint64_t round = 1; round <= kFeistelRounds; ++round) {
    const uint64_t mixed = Mix64((key + round * 0x9e3779b97f4a7c15ull) ^ Mix64(right + round));
    left ^= mixed & mask;
    std::swap(left, right);
  }
  return left << half_bits | right;
}

}  // namespace

absl::Status CheckEnoughTokens(const std::string& what, int64_t token_count, int64_t context) {
  LR_CHECK_GT(context, 0);
  if (token_count > context) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "{} holds {} tokens, too few for one sequence: a context of {} needs {}; give more "
      "text or a shorter context",
      what, token_count, context, context + 1));
}

int64_t WindowsPerEpoch(int64_t context, int64_t token_count) {
  LR_CHECK(context > 0 && token_count > context);
  // Of two windows and more one is given up, so that the others have room to shift.
  const int64_t fit = (token_count - 1) / context;
  return fit == 1 ? 1 : fit - 1;
}

std::vector<int64_t> SequenceOffsets(uint64_t seed, int64_t step, int64_t batch, int64_t context,
                                     int64_t token_count) {
  LR_CHECK(step >= 0 && batch > 0);
  int64_t first = 0;
  LR_CHECK(!__builtin_mul_overflow(step, batch, &first));
  const int64_t windows = WindowsPerEpoch(context, token_count);
  const auto phases = static_cast<uint64_t>(LargestPhase(context, token_count)) + 1;
  std::vector<int64_t> offsets;
  offsets.reserve(static_cast<size_t>(batch));
  int64_t epoch = -1;
  int64_t phase = 0;
  uint64_t order = 0;
  for (int64_t i = first; i < first + batch; ++i) {
    if (i / windows != epoch) {
      epoch = i / windows;
      phase = static_cast<int64_t>(Random(KeyOf(seed, epoch, Purpose::kPhase)).Below(phases));
      order = KeyOf(seed, epoch, Purpose::kOrder);
    }
    const uint64_t window =
        Permute(static_cast<uint64_t>(i % windows), static_cast<uint64_t>(windows), order);
    offsets.push_back(phase + static_cast<int64_t>(window) * context);
  }
  return offsets;
}

double EpochsDone(int64_t step, int64_t batch, int64_t context, int64_t token_count) {
  return static_cast<double>(step) * static_cast<double>(batch) /
         static_cast<double>(WindowsPerEpoch(context, token_count));
}

Share ShareOf(int64_t batch_size, int64_t rank, int64_t world_size) {
  LR_CHECK(batch_size >= 0 && rank >= 0 && rank < world_size);
  // The first ranks take one more where it does not come out even.
  const int64_t each = batch_size / world_size;
  const int64_t more = batch_size % world_size;
  const int64_t begin = rank * each + std::min(rank, more);
  return {begin, begin + each + (rank < more ? 1 : 0)};
}

uint64_t Permute(uint64_t index, uint64_t n, uint64_t key) {
  LR_CHECK(n > 0 && index < n && n <= uint64_t{1} << 62);
  const int half_bits = std::max(1, static_cast<int>(std::bit_width(n - 1) + 1) / 2);
  // The network permutes a power of four that is less than 4 n; an index that it leads out of [0,
  // n) is led on until it is back, which each on such a path is, and to a place of its own.
  do {
    index = Feistel(index, half_bits, key);
  } while (index >= n);
  return index;
}

absl::Status ReadSequences(const TokenFile& tokens, std::span<const int64_t> offsets,
                           int64_t context, std::span<int64_t> inputs, std::span<int64_t> targets) {
  const auto row = static_cast<size_t>(context);
  LR_CHECK_EQ(inputs.size(), offsets.size() * row);
  LR_CHECK_EQ(targets.size(), offsets.size() * row);
  for (size_t i = 0; i < offsets.size(); ++i) {
    LR_RETURN_IF_ERROR(tokens.Read(offsets[i], inputs.subspan(i * row, row)));
    LR_RETURN_IF_ERROR(tokens.Read(offsets[i] + 1, targets.subspan(i * row, row)));
  }
  return absl::OkStatus();
}

std::vector<int64_t> EvaluationOffsets(int64_t count, int64_t context, int64_t token_count) {
  LR_CHECK(count > 0 && context > 0 && token_count > context);
  const int64_t fit = (token_count - 1) / context;
  count = std::min(count, fit);
  std::vector<int64_t> offsets;
  // Whole windows apart, so that none overlap: fit / count of them from each to the next.
  for (int64_t i = 0; i < count; ++i) offsets.push_back(i * (fit / count) * context);
  return offsets;
}

}  // namespace longrun::training
