// Which tokens begin and end a text, as a Hugging Face folder says.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "model/tokenizer.h"
#include "nlohmann/json.hpp"

namespace longrun::worker {

struct ModelTokens {
  std::vector<model::TokenId> begin;  // put before the text of a completion
  std::vector<model::TokenId> stop;   // end an answer
};

// "eos_token_id" of generation_config.json, else of config.json (a number or several), and the end
// of text of the tokenizer. `begin` is "bos_token" or "bos_token_id" where tokenizer_config.json
// says "add_bos_token": true, nothing where it says another, and where it does not say the
// tokenizer's prefix. InvalidArgument names the file and the field; files that are not there say
// nothing.
absl::StatusOr<ModelTokens> ReadModelTokens(const std::string& folder,
                                            const nlohmann::json& tokenizer_config,
                                            const model::Tokenizer& tokenizer);

}  // namespace longrun::worker
