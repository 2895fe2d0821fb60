// What was said already counts against a token: OpenAI's frequency and presence penalties, and the
// repetition penalty of Keskar et al. 2019 (section 4.1). Belongs to one choice.
#pragma once

#include <span>

#include "absl/container/flat_hash_map.h"
#include "serving/request.h"

namespace longrun::serving {

class Penalties {
 public:
  Penalties(const SamplingConfig& config, std::span<const TokenId> prompt);

  bool active() const { return frequency_ != 0 || presence_ != 0 || repetition_ != 1; }
  void Add(TokenId generated);
  // Lowers the logits of tokens that were met.
  void Apply(std::span<float> logits) const;

 private:
  double frequency_;
  double presence_;
  double repetition_;
  absl::flat_hash_map<TokenId, int64_t> generated_;  // how often; 0: in the prompt alone
};

}  // namespace longrun::serving
