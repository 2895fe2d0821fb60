// Which tokens begin and end a text, as a Hugging Face folder says.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "model/tokenizer.h"
#include "serving/prompt/chat_template.h"

namespace longrun::worker {

struct ModelTokens {
  std::vector<model::TokenId> begin;  // put before the text of a completion
  std::vector<model::TokenId> stop;   // end an answer
};

// "eos_token_id" of generation_config.json, else of config.json (a number or several), and the end
// of text of the tokenizer. `begin` is "bos_token_id" where tokenizer_config.json says
// "add_bos_token" or tokenizer.json's post-processor puts it there. InvalidArgument names the file
// and the field; files that are not there say nothing.
absl::StatusOr<ModelTokens> ReadModelTokens(const std::string& folder,
                                            const model::Tokenizer& tokenizer);

// The texts of bos_token and eos_token in tokenizer_config.json, for templates that print them.
absl::StatusOr<serving::ChatTemplateOptions> TemplateTokens(const std::string& folder);

}  // namespace longrun::worker
