// What chat and completions requests have in common: how to sample, when to stop, how to answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "serving/openai/body_fields.h"
#include "serving/openai/request_limits.h"
#include "serving/request.h"

namespace longrun::serving {

struct GenerationFields {
  std::string model;
  std::optional<int64_t> max_tokens;
  int64_t choices = 1;
  std::optional<uint64_t> seed;
  SamplingConfig sampling;  // without its seed
  Format format;
  std::vector<std::string> stop;
  std::vector<TokenId> stop_tokens;
  bool ignore_end_of_text = false;
  int32_t priority = 0;
  bool stream = false;
  bool include_usage = false;
};

// Reads all but logprobs, which the two forms ask for differently. `vocab_size`: of the model;
// `fewest_tokens`: what max_tokens may be at least.
GenerationFields ReadGenerationFields(const RequestLimits& limits, int64_t vocab_size,
                                      int64_t fewest_tokens, BodyFields* fields);

// An array of token ids in [0, vocab_size).
std::vector<TokenId> ReadTokens(const nlohmann::json& array, const std::string& key,
                                int64_t vocab_size, BodyFields* fields);

}  // namespace longrun::serving
