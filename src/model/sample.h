// Text generation: which token comes next, given logits. Pure functions of their arguments;
// Generate uses its model, so one thread at a time per Gpt.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "model/gpt.h"

namespace longrun::model {

struct SampleConfig {
  double temperature = 1;  // 0: the likeliest token, always
  int64_t top_k = 0;       // of the k likeliest alone; 0: of all
  double top_p = 1;        // of the fewest whose probabilities sum to at least this (Holtzman 2020)
  uint64_t seed = 0;
  int64_t max_tokens = 100;
  int64_t stop_token = -1;  // ends the text and is not part of it; -1: none

  absl::Status Validate() const;
};

// The next token. Ties go to the smaller token. Temperature, then top_k, then top_p, as Hugging
// Face orders them.
int64_t SampleToken(std::span<const float> logits, const SampleConfig& config, Random& random);

// Called with each token as it comes; false ends the generation.
using OnToken = std::function<bool(int64_t token)>;

// Up to max_tokens tokens that follow `prompt` (at least one token, all in the vocabulary). Where
// the text outgrows the model's context, it goes on from the newest half of it.
absl::StatusOr<std::vector<int64_t>> Generate(Gpt* gpt, std::span<const int64_t> prompt,
                                              const SampleConfig& config,
                                              const OnToken& on_token = nullptr);

}  // namespace longrun::model
