#include "worker/model_tokens.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "model/strict_json.h"
#include "nlohmann/json.hpp"

namespace longrun::worker {
namespace {

using nlohmann::json;

constexpr int64_t kLimit = 16 << 20;

// An empty object where there is no such file.
absl::StatusOr<json> ReadJson(const std::string& path, int64_t limit = kLimit) {
  if (!std::filesystem::exists(path)) return json::object();
  LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, limit));
  LR_ASSIGN_OR_RETURN(json value, model::ParseStrictJson(text, path));
  if (!value.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is no JSON object"));
  }
  return value;
}

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

// A special token's text: a string, or an object with "content".
std::string TextOf(const json& value, const char* field) {
  const auto found = value.find(field);
  if (found == value.end()) return "";
  if (found->is_string()) return *found;
  if (found->is_object() && found->contains("content") && (*found)["content"].is_string()) {
    return (*found)["content"];
  }
  return "";
}

// Whether the post-processor of tokenizer.json puts a token before a text.
bool PutsTokenFirst(const json& processor) {
  if (!processor.is_object()) return false;
  const std::string type = processor.value("type", "");
  if (type == "Sequence" && processor.contains("processors")) {
    return std::any_of(processor["processors"].begin(), processor["processors"].end(),
                       PutsTokenFirst);
  }
  if (type != "TemplateProcessing" || !processor.contains("single")) return false;
  const json& single = processor["single"];
  return single.is_array() && !single.empty() && single[0].is_object() &&
         single[0].contains("SpecialToken");
}

}  // namespace

absl::StatusOr<ModelTokens> ReadModelTokens(const std::string& folder,
                                            const model::Tokenizer& tokenizer) {
  ModelTokens tokens;
  const std::string generation_path = folder + "/generation_config.json";
  const std::string config_path = folder + "/config.json";
  const std::string tokenizer_path = folder + "/tokenizer.json";
  LR_ASSIGN_OR_RETURN(const json generation, ReadJson(generation_path));
  LR_ASSIGN_OR_RETURN(const json config, ReadJson(config_path));
  LR_ASSIGN_OR_RETURN(const json tokenizer_config, ReadJson(folder + "/tokenizer_config.json"));
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
  bool begins = added != tokenizer_config.end() && *added == true;
  if (!begins && added == tokenizer_config.end()) {
    LR_ASSIGN_OR_RETURN(const json rules, ReadJson(tokenizer_path, int64_t{256} << 20));
    begins = rules.contains("post_processor") && PutsTokenFirst(rules["post_processor"]);
  }
  if (begins) {
    const auto named = tokenizer.Special(TextOf(tokenizer_config, "bos_token"));
    if (named) {
      tokens.begin = {*named};
    } else {
      LR_RETURN_IF_ERROR(AddTokens(config_path, config, "bos_token_id", vocab, &tokens.begin));
    }
  }
  return tokens;
}

absl::StatusOr<serving::ChatTemplateOptions> TemplateTokens(const std::string& folder) {
  LR_ASSIGN_OR_RETURN(const json config, ReadJson(folder + "/tokenizer_config.json"));
  return serving::ChatTemplateOptions{.bos_token = TextOf(config, "bos_token"),
                                      .eos_token = TextOf(config, "eos_token")};
}

}  // namespace longrun::worker
