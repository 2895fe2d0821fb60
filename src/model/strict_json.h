// JSON as files should be read: a key may stand once, nesting is bounded, text is UTF-8, and a
// mistake is a Status that names the file. Pure functions of any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace longrun::model {

// What is read of a text at most: for those that come from anybody.
struct JsonBounds {
  int64_t values = std::numeric_limits<int64_t>::max();  // arrays and objects count too
  int64_t keys = std::numeric_limits<int64_t>::max();
};

// `name`: how messages call the text (a file's path).
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text, const std::string& name,
                                               const JsonBounds& bounds = {});

// The same of a file of at most `limit_bytes`.
absl::StatusOr<nlohmann::json> ReadStrictJson(const std::string& path, int64_t limit_bytes);
// The object in such a file; an empty one where there is no file.
absl::StatusOr<nlohmann::json> ReadObjectIfThere(const std::string& path, int64_t limit_bytes);

// The first, with the keys of each object in their order.
absl::StatusOr<nlohmann::ordered_json> ParseStrictOrderedJson(std::string_view text,
                                                              const std::string& name,
                                                              const JsonBounds& bounds = {});

}  // namespace longrun::model
