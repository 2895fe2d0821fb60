#include "serving/engine/request_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "serving/schedule/mask_turns.h"

namespace longrun::serving {
namespace {

absl::Status Refuse(const auto&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status CheckLengths(const GenerationRequest& r, const EngineConfig& config,
                          const ModelShape& shape) {
  const int64_t prompt = static_cast<int64_t>(r.prompt.size());
  if (prompt < 1) return Refuse("the prompt is empty: at least one token is needed");
  if (r.max_tokens < 0) return Refuse("max_tokens is ", r.max_tokens, ": at least 0 is needed");
  if (r.max_tokens == 0 && !r.embedding && !r.prompt_logprobs) {
    return Refuse("max_tokens is 0: at least 1 is needed where the prompt is not echoed");
  }
  const int64_t generated = r.embedding ? 0 : r.max_tokens;
  if (prompt > shape.context || generated > shape.context - prompt) {
    return Refuse("this model's longest context is ", shape.context, " tokens, but the prompt has ",
                  prompt, " and max_tokens is ", generated,
                  ": shorten the prompt or ask for fewer tokens");
  }
  const int64_t room = config.blocks * config.block_tokens;
  if (prompt + generated > room) {
    return Refuse("the cache has room for ", room, " tokens, but the prompt has ", prompt,
                  " and max_tokens is ", generated, ": shorten the prompt or ask for fewer tokens");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRequest(const GenerationRequest& r, const EngineConfig& config,
                          const ModelShape& shape, int64_t vocab_size) {
  if (r.id.empty()) return Refuse("the request has no id");
  LR_RETURN_IF_ERROR(CheckLengths(r, config, shape));
  if (r.choices < 1 || r.choices > config.max_sequences) {
    return Refuse("n is ", r.choices, ": from 1 to ", config.max_sequences, " is possible");
  }
  if (r.embedding && r.choices != 1) return Refuse("an embedding has one choice, not ", r.choices);
  for (const std::vector<TokenId>* tokens : {&r.prompt, &r.stop_tokens, &r.shown}) {
    for (const TokenId token : *tokens) {
      if (token < 0 || token >= vocab_size) {
        return Refuse("token ", token, " is not in the vocabulary of ", vocab_size);
      }
    }
  }
  return r.sampling.Validate(vocab_size);
}

int64_t EngineConfig::MaskEffort() const {
  constexpr double kShare = 0.1, kSecondsPerEffort = 25e-9;
  return std::max(MaskTurns::kLeastEffort,
                  static_cast<int64_t>(kShare * goals.inter_token_seconds / kSecondsPerEffort));
}

absl::Status EngineConfig::Validate() const {
  if (blocks < 1 || block_tokens < 1) return Refuse("the cache needs at least one block");
  if (max_sequences < 1)
    return Refuse("max_sequences is ", max_sequences, ": at least 1 is needed");
  if (max_step_tokens < max_sequences + block_tokens) {
    return Refuse("max_step_tokens is ", max_step_tokens, ": at least max_sequences + a block, ",
                  max_sequences + block_tokens, ", is needed");
  }
  if (max_step_logits <= max_sequences) {
    return Refuse("max_step_logits is ", max_step_logits, ": at least ", max_sequences + 1,
                  " is needed for ", max_sequences, " sequences");
  }
  if (max_waiting < 1) return Refuse("max_waiting is ", max_waiting, ": at least 1 is needed");
  if (!(max_wait_seconds > 0) || !(goals.inter_token_seconds > 0) ||
      !(goals.time_to_first_token_seconds > 0)) {
    return Refuse("latency goals and max_wait_seconds must be above 0");
  }
  return absl::OkStatus();
}

}  // namespace longrun::serving
