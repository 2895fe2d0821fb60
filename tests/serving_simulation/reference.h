// What a request gives when nobody else is there: no engine, no blocks, no batch. Written for
// plainness, one token after the other.
#pragma once

#include <vector>

#include "model/tokenizer.h"
#include "serving/request.h"

namespace longrun::serving_simulation {

struct ChoiceResult {
  std::vector<model::TokenId> tokens;
  std::vector<serving::Logprobs> logprobs;
  std::string text;
  serving::FinishReason finish = serving::FinishReason::kNone;
};

struct Result {
  std::vector<ChoiceResult> choices;
  std::vector<serving::Logprobs> prompt_logprobs;
  std::vector<float> embedding;
};

Result RunAlone(const serving::GenerationRequest& request, const model::Tokenizer& tokenizer);

}  // namespace longrun::serving_simulation
