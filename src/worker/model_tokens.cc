#include "worker/model_tokens.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "model/strict_json.h"
#include "model/tokenizer_config.h"
#include "nlohmann/json.hpp"

namespace longrun::worker {
namespace {

using nlohmann::json;

constexpr int64_t kLimit = 16 << 20;

absl::Status AddTokens(const std::string& path, const json& value, const char* field,
                       int64_t vocab_size, std::vector<model::TokenId>* out) {
  const auto found = value.find(field);
  if (found == value.end() || found->is_null()) return absl::OkStatus();
  const json list = found->is_array() ? *found : json::array({*found});
  for (const json& entry : list) {
    if (!entry.is_number_integer() || entry < 0 || entry >= vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", field, ": ", entry.dump(),
                                                     " is no token; there are ", vocab_size));
    }
    const auto id = entry.get<model::TokenId>();
    if (std::find(out->begin(), out->end(), id) == out->end()) out->push_back(id);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelTokens> ReadModelTokens(const std::string& folder, const json& tokenizer_config,
                                            const model::Tokenizer& tokenizer) {
  ModelTokens tokens;
  const std::string generation_path = folder + "/generation_config.json";
  const std::string config_path = folder + "/config.json";
  LR_ASSIGN_OR_RETURN(const json generation, model::ReadObjectIfThere(generation_path, kLimit));
  LR_ASSIGN_OR_RETURN(const json config, model::ReadObjectIfThere(config_path, kLimit));
  const int64_t vocab = tokenizer.vocab_size();
  LR_RETURN_IF_ERROR(AddTokens(generation_path, generation, "eos_token_id", vocab, &tokens.stop));
  if (tokens.stop.empty()) {
    LR_RETURN_IF_ERROR(AddTokens(config_path, config, "eos_token_id", vocab, &tokens.stop));
  }
  const auto end = tokenizer.end_of_text();
  if (end && std::find(tokens.stop.begin(), tokens.stop.end(), *end) == tokens.stop.end()) {
    tokens.stop.push_back(*end);
  }
  const auto added = tokenizer_config.find("add_bos_token");
  if (added == tokenizer_config.end()) {
    tokens.begin = tokenizer.prefix();
  } else if (*added == true) {
    const auto named = tokenizer.Special(model::SpecialTokenText(tokenizer_config, "bos_token"));
    if (named) {
      tokens.begin = {*named};
    } else {
      LR_RETURN_IF_ERROR(AddTokens(config_path, config, "bos_token_id", vocab, &tokens.begin));
    }
  }
  return tokens;
}

}  // namespace longrun::worker
