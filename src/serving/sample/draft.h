// Speculative decoding by prompt lookup (Saxena 2023): what followed the last time that the newest
// n tokens stood in the sequence is likely to follow again. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/tokenizer.h"

namespace longrun::serving {

struct DraftConfig {
  int64_t longest = 0;  // tokens drafted at most; 0: no speculation
  int64_t max_ngram = 4;
  int64_t min_ngram = 2;
};

// Up to config.longest tokens that may follow `tokens`; empty where nothing matches.
std::vector<model::TokenId> Draft(std::span<const model::TokenId> tokens,
                                  const DraftConfig& config);

}  // namespace longrun::serving
