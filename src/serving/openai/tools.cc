#include "serving/openai/tools.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace longrun::serving {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kLongestName = 64;

bool IsNameCharacter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '_';
}

// `where`: "tools[0]". The tool's name.
std::string ReadTool(const json& tool, const std::string& where, BodyFields* fields) {
  if (!tool.is_object()) {
    fields->WrongType(where, "an object", tool);
    return "";
  }
  if (tool.value("type", json()) != "function") {
    fields->Fail(where + ".type", "Invalid '" + where + ".type': \"function\" is right.");
    return "";
  }
  const json& function = tool.value("function", json());
  if (function.is_null()) {
    fields->Missing(where + ".function");
    return "";
  }
  if (!function.is_object()) {
    fields->WrongType(where + ".function", "an object", function);
    return "";
  }
  BodyFields inner(function, where + ".function.");
  std::string name, description;
  bool strict = false;
  inner.String("name", &name);
  if (inner.Find("name") == nullptr) inner.Missing("name");
  CheckToolName("name", name, &inner);
  inner.String("description", &description);
  inner.Bool("strict", &strict);
  if (const json* parameters = inner.Find("parameters")) {
    if (!parameters->is_object()) {
      inner.WrongType("parameters", "an object", *parameters);
    } else if (parameters->contains("type") && parameters->at("type") != "object") {
      inner.Fail("parameters", "Invalid '" + where +
                                   ".function.parameters': a schema of type \"object\" is "
                                   "right, since arguments have names.");
    }
  }
  fields->Take(inner);
  return name;
}

void ReadChoice(BodyFields* fields, ToolFields* to) {
  using Choice = ToolFields::Choice;
  if (!to->tools.empty()) to->choice = Choice::kAuto;
  const json* choice = fields->Find("tool_choice");
  if (choice == nullptr) return;
  if (*choice == "none") {
    to->choice = Choice::kNone;
  } else if (*choice == "required") {
    to->choice = Choice::kRequired;
  } else if (choice->is_object() && choice->value("type", json()) == "function" &&
             choice->value("function", json()).is_object()) {
    to->choice = Choice::kRequired;
    BodyFields inner(choice->at("function"), "tool_choice.function.");
    inner.String("name", &to->forced);
    if (to->forced.empty()) inner.Missing("name");
    fields->Take(inner);
    if (fields->ok() &&
        std::find(to->names.begin(), to->names.end(), to->forced) == to->names.end())
      fields->Fail("tool_choice", "Invalid 'tool_choice': there is no tool \"" +
                                      to->forced.substr(0, kLongestName) + "\" in 'tools'.");
  } else if (*choice != "auto") {
    fields->Fail("tool_choice",
                 "Invalid 'tool_choice': \"none\", \"auto\", \"required\" or {\"type\": "
                 "\"function\", \"function\": {\"name\": …}} is right.");
  }
  if (to->choice == Choice::kRequired && to->tools.empty())
    fields->Fail("tool_choice", "'tool_choice' asks for a call, but there are no 'tools'.");
}

void RefuseOldForms(BodyFields* fields) {
  const json* functions = fields->Find("functions");
  if (functions != nullptr && !functions->empty())
    fields->Fail("functions", "'functions' is deprecated and not read here; 'tools' is.",
                 "unsupported_parameter");
  if (fields->Find("function_call") != nullptr)
    fields->Fail("function_call",
                 "'function_call' is deprecated and not read here; 'tools' with 'tool_choice' is.",
                 "unsupported_parameter");
}

// False, having said so, where they are too many or too large.
bool CheckSizes(const RequestLimits& limits, const json& tools, BodyFields* fields,
                int64_t* bytes) {
  const auto count = static_cast<int64_t>(tools.size());
  const int64_t values = CountValues(tools);
  *bytes = static_cast<int64_t>(tools.dump().size());
  if (count > limits.tools) {
    fields->Fail(
        "tools",
        absl::StrCat("Invalid 'tools': ", count, " tools; at most ", limits.tools, " are right."),
        "array_above_max_length");
  } else if (*bytes > limits.tool_bytes || values > limits.tool_values) {
    fields->Fail("tools",
                 absl::StrCat("Invalid 'tools': ", *bytes, " bytes with ", values,
                              " keys and values; at most ", limits.tool_bytes, " and ",
                              limits.tool_values, " are right."),
                 "string_above_max_length");
  }
  return fields->ok();
}

}  // namespace

void CheckToolName(const std::string& key, const std::string& name, BodyFields* fields) {
  if (!name.empty() && name.size() <= kLongestName &&
      std::all_of(name.begin(), name.end(), IsNameCharacter))
    return;
  fields->Fail(key, "Invalid '" + fields->path() + key +
                        "': 1 to 64 characters of a-z, A-Z, 0-9, _ and - are right.");
}

ToolFields ReadTools(const RequestLimits& limits, BodyFields* fields) {
  ToolFields to;
  RefuseOldForms(fields);
  const json* tools = fields->Find("tools");
  if (tools != nullptr && !tools->is_array()) fields->WrongType("tools", "an array", *tools);
  if (!fields->ok()) return to;
  if (tools != nullptr && !tools->empty() && CheckSizes(limits, *tools, fields, &to.bytes)) {
    std::set<std::string> met;
    for (size_t i = 0; i < tools->size() && fields->ok(); ++i) {
      const std::string where = absl::StrCat("tools[", i, "]");
      to.names.push_back(ReadTool((*tools)[i], where, fields));
      if (fields->ok() && !met.insert(to.names.back()).second)
        fields->Fail(where + ".function.name", "Invalid '" + where + ".function.name': \"" +
                                                   to.names.back() + "\" stands there twice.");
    }
    if (!fields->ok()) return to;
    for (ordered_json& tool : fields->InOrder("tools")) to.tools.push_back(std::move(tool));
  }
  ReadChoice(fields, &to);
  fields->Bool("parallel_tool_calls", &to.parallel);
  return to;
}

}  // namespace longrun::serving
