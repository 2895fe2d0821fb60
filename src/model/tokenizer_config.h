// tokenizer_config.json, which stands beside a tokenizer in a Hugging Face folder: which texts
// begin and end a conversation, and how one is written down. Pure functions of any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"

namespace longrun::model {

// An empty object where the folder has none. InvalidArgument names the file.
absl::StatusOr<nlohmann::json> ReadTokenizerConfig(const std::string& folder);

// A special token's text, such as "bos_token": a text, or an object with the text as "content"; ""
// where the config says neither.
std::string SpecialTokenText(const nlohmann::json& config, const char* field);

}  // namespace longrun::model
