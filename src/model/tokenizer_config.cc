#include "model/tokenizer_config.h"

#include <cstdint>
#include <filesystem>

#include "model/strict_json.h"

namespace longrun::model {

using nlohmann::json;

absl::StatusOr<json> ReadTokenizerConfig(const std::string& folder) {
  constexpr int64_t kLargest = 64 << 20;
  return ReadObjectIfThere((std::filesystem::path(folder) / "tokenizer_config.json").string(),
                           kLargest);
}

std::string SpecialTokenText(const json& config, const char* field) {
  const auto found = config.find(field);
  if (found == config.end()) return "";
  const json text = found->is_object() ? found->value("content", json()) : *found;
  return text.is_string() ? text.get<std::string>() : "";
}

}  // namespace longrun::model
