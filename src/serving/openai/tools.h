// The tools of a chat, as its request has them: what may be called, and whether it must be. Plain
// values, checked.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "serving/openai/body_fields.h"
#include "serving/openai/request_limits.h"

namespace longrun::serving {

struct ToolFields {
  enum class Choice { kNone, kAuto, kRequired };

  // As the request has them, the keys of objects in their order: what templates print.
  std::vector<nlohmann::ordered_json> tools;
  std::vector<std::string> names;  // of each
  int64_t bytes = 0;               // of their text
  Choice choice = Choice::kNone;   // where there are tools: kAuto unless the request says otherwise
  std::string forced;              // of kRequired: the one that must be called; "": any of them
  bool parallel = true;            // several calls in one answer

  // That the model is told of.
  bool any() const { return choice != Choice::kNone; }
};

// tools, tool_choice and parallel_tool_calls. Their deprecated forms are mistakes.
ToolFields ReadTools(const RequestLimits& limits, BodyFields* fields);

// 1 to 64 letters, digits, _ and -; else a mistake of `key`.
void CheckToolName(const std::string& key, const std::string& name, BodyFields* fields);

// JSON values and keys, those within included.
template <class Json>
int64_t CountValues(const Json& value) {
  int64_t count = 1 + (value.is_object() ? static_cast<int64_t>(value.size()) : 0);
  if (value.is_structured()) {
    for (const Json& part : value) count += CountValues(part);
  }
  return count;
}

}  // namespace longrun::serving
