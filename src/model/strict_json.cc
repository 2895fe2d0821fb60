#include "model/strict_json.h"

#include <fmt/core.h>

#include <filesystem>
#include <stdexcept>
#include <vector>

#include "base/file.h"
#include "model/view_hash.h"

namespace longrun::model {
namespace {

using nlohmann::json;

constexpr int kDeepest = 32;

// Watches the parser's events for what the parser itself lets pass.
template <class Json>
class Watcher {
 public:
  explicit Watcher(const JsonBounds& bounds) : bounds_(bounds) {}

  bool operator()(int depth, typename Json::parse_event_t event, const Json& value) {
    using Event = typename Json::parse_event_t;
    if (depth > kDeepest) throw std::runtime_error(fmt::format("nested over {} deep", kDeepest));
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    const bool begins = event == Event::object_start || event == Event::array_start;
    if ((begins || event == Event::value) && ++values_ > bounds_.values) {
      throw std::runtime_error(fmt::format("more than {} values", bounds_.values));
    }
    if (event == Event::key) {
      if (++seen_keys_ > bounds_.keys) {
        throw std::runtime_error(fmt::format("more than {} keys", bounds_.keys));
      }
      const auto& key = value.template get_ref<const std::string&>();
      if (!keys_.back().try_emplace(key).second) {
        throw std::runtime_error(fmt::format("the key \"{}\" stands twice in one object", key));
      }
    }
    return true;
  }

 private:
  const JsonBounds bounds_;
  int64_t values_ = 0, seen_keys_ = 0;
  std::vector<TextMap<bool>> keys_;  // of the objects that are open
};

template <class Json>
absl::StatusOr<Json> ParseStrict(std::string_view text, const std::string& name,
                                 const JsonBounds& bounds) {
  try {
    Watcher<Json> watcher(bounds);
    return Json::parse(text, [&](int depth, typename Json::parse_event_t event, const Json& value) {
      return watcher(depth, event, value);
    });
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(
        fmt::format("{}: not the JSON it should be: {}", name, e.what()));
  }
}

}  // namespace

absl::StatusOr<json> ParseStrictJson(std::string_view text, const std::string& name,
                                     const JsonBounds& bounds) {
  return ParseStrict<json>(text, name, bounds);
}

absl::StatusOr<json> ReadStrictJson(const std::string& path, int64_t limit_bytes) {
  LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, limit_bytes));
  return ParseStrictJson(text, path);
}

absl::StatusOr<json> ReadObjectIfThere(const std::string& path, int64_t limit_bytes) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return json::object();
  LR_ASSIGN_OR_RETURN(json value, ReadStrictJson(path, limit_bytes));
  if (!value.is_object()) {
    return absl::InvalidArgumentError(fmt::format("{}: is not a JSON object", path));
  }
  return value;
}

absl::StatusOr<nlohmann::ordered_json> ParseStrictOrderedJson(std::string_view text,
                                                              const std::string& name,
                                                              const JsonBounds& bounds) {
  return ParseStrict<nlohmann::ordered_json>(text, name, bounds);
}

}  // namespace longrun::model
