// Which tokens a training step reads: a pure function of (seed, step), the same on every rank, in
// any order of calls and for any number of ranks. So a run that was broken off, or lost ranks,
// reads on as if nothing had happened.
//
// The token stream is cut into windows of `context` tokens that do not overlap. Each epoch shifts
// the windows by a random phase and takes every window once, in random order. The order is a keyed
// permutation (a Feistel network with cycle walking: Black and Rogaway, "Ciphers with arbitrary
// finite domains", 2002), so it needs no memory whatever the number of windows.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "training/token_file.h"

namespace longrun::training {

// A sequence reads context + 1 tokens: inputs and, one further, targets. InvalidArgument, naming
// `what` (a file), where the tokens do not make one.
absl::Status CheckEnoughTokens(const std::string& what, int64_t token_count, int64_t context);

// Windows taken per epoch; at least 1 once CheckEnoughTokens said yes.
int64_t WindowsPerEpoch(int64_t context, int64_t token_count);

// Where in the token stream each of the `batch` sequences of global step `step` (from 0) begins; a
// sequence is tokens [offset, offset + context + 1). Requires CheckEnoughTokens.
std::vector<int64_t> SequenceOffsets(uint64_t seed, int64_t step, int64_t batch, int64_t context,
                                     int64_t token_count);

// How often the text has been read once `step` steps are done, as a fraction.
double EpochsDone(int64_t step, int64_t batch, int64_t context, int64_t token_count);

// The sequences [begin, end) of a batch that a rank takes. Together the ranks take each once;
// shares differ by at most one, and are empty where there are more ranks than sequences.
struct Share {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};
Share ShareOf(int64_t batch_size, int64_t rank, int64_t world_size);

// A keyed permutation of [0, n): where `index` goes. n ≥ 1.
uint64_t Permute(uint64_t index, uint64_t n, uint64_t key);

// Fills inputs and targets, both [offsets.size(), context] row-major: targets are the tokens that
// follow the inputs.
absl::Status ReadSequences(const TokenFile& tokens, std::span<const int64_t> offsets,
                           int64_t context, std::span<int64_t> inputs, std::span<int64_t> targets);

// Fixed sequences for evaluation: `count` (or as many as there are) windows spread evenly over the
// text, the same at every evaluation.
std::vector<int64_t> EvaluationOffsets(int64_t count, int64_t context, int64_t token_count);

}  // namespace longrun::training
