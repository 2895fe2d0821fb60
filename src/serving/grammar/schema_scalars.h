// What schemas say of strings and numbers, to grammar; and how the schema compiler speaks of places
// in a schema. Pure functions of their arguments.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "base/status.h"
#include "serving/grammar/json_rules.h"
#include "serving/grammar/schema_merge.h"

namespace longrun::serving {

// `where`: a JSON pointer, "#/properties/a".
template <class... T>
absl::Status RefuseAt(const std::string& where, fmt::format_string<T...> format, T&&... values) {
  return absl::InvalidArgumentError(
      fmt::format("{}: {}", where, fmt::format(format, std::forward<T>(values)...)));
}

// The pointer to `name` beneath `where`.
std::string Beneath(const std::string& where, const std::string& name);

bool HasType(const Schema& value, const std::string& type);
// The types that a schema's values may have: as it says, else by what it speaks of.
absl::StatusOr<std::set<std::string>> TypesOf(const Schema& schema, const std::string& where);
// A whole number from 0 to 100,000, `otherwise` where the schema has none.
absl::StatusOr<int64_t> CountOf(const Schema& schema, const char* keyword, int64_t otherwise,
                                const std::string& where);

absl::Status AppendString(const Schema& schema, const std::string& where, StateId from, StateId to,
                          JsonRules* json, GrammarBuilder* builder);
absl::Status AppendNumber(const Schema& schema, bool whole, const std::string& where, StateId from,
                          StateId to, JsonRules* json);

}  // namespace longrun::serving
