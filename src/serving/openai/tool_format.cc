#include "serving/openai/tool_format.h"

#include "absl/strings/str_cat.h"
#include "base/nearest.h"
#include "serving/openai/tenants.h"

namespace longrun::serving {
namespace {

using nlohmann::ordered_json;

bool Has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  for (const std::string_view known : words)
    if (word == known) return true;
  return false;
}

// A schema becomes a part of another: what it refers to within itself lies deeper now. `keys_are`
// names: the keys of this object are nobody's keywords.
void MoveReferences(const std::string& under, bool keys_are_names, ordered_json* schema) {
  if (schema->is_array()) {
    for (ordered_json& part : *schema) MoveReferences(under, false, &part);
  }
  if (!schema->is_object()) return;
  for (auto& [key, value] : schema->items()) {
    if (!keys_are_names && IsOneOf(key, {"const", "enum", "default", "examples"})) continue;
    if (!keys_are_names && key == "$ref" && value.is_string()) {
      const auto& ref = value.get_ref<const std::string&>();
      if (ref.starts_with('#')) value = under + ref.substr(1);
      continue;
    }
    const bool names_within = !keys_are_names && IsOneOf(key, {"properties", "patternProperties",
                                                               "$defs", "definitions"});
    MoveReferences(under, names_within, &value);
  }
}

// Of a tool's arguments; none where the tool has no parameters.
ordered_json ArgumentsSchema(const std::string& name, const ordered_json& tool) {
  const ordered_json& function = tool.at("function");
  const auto parameters = function.find("parameters");
  ordered_json schema = {{"type", "object"}};
  if (parameters == function.end() || parameters->is_null()) {
    schema["properties"] = ordered_json::object();
    return schema;
  }
  schema.update(*parameters);
  MoveReferences("#/$defs/" + name, false, &schema);
  return schema;
}

}  // namespace

absl::StatusOr<ToolFormat> ParseToolFormat(const std::string& name) {
  if (name == "hermes") return ToolFormat::kHermes;
  if (name == "llama3") return ToolFormat::kLlama3;
  if (name == "mistral") return ToolFormat::kMistral;
  if (name == "none") return ToolFormat::kNone;
  return absl::InvalidArgumentError(
      absl::StrCat("there is no format of tools \"", name, "\"; hermes, llama3, mistral and none ",
                   "are there", DidYouMean(name, {"hermes", "llama3", "mistral", "none"})));
}

ToolFormat ToolFormatOf(std::string_view source) {
  // Those that write arguments as XML between the same tags (Qwen 3 Coder, GLM 4.5) are others.
  if (Has(source, "<function=") || Has(source, "<arg_key>")) return ToolFormat::kNone;
  if (Has(source, "<tool_call>")) return ToolFormat::kHermes;
  if (Has(source, "[TOOL_CALLS]")) return ToolFormat::kMistral;
  if (Has(source, "<|start_header_id|>")) return ToolFormat::kLlama3;
  return ToolFormat::kNone;
}

std::string_view MarkerBefore(ToolFormat format) {
  if (format == ToolFormat::kHermes) return "<tool_call>";
  if (format == ToolFormat::kMistral) return "[TOOL_CALLS]";
  return format == ToolFormat::kLlama3 ? "<|python_tag|>" : "";
}

std::string_view MarkerAfter(ToolFormat format) {
  return format == ToolFormat::kHermes ? "</tool_call>" : "";
}

std::vector<std::string_view> MarkerTokens(ToolFormat format) {
  std::vector<std::string_view> tokens;
  for (const std::string_view marker : {MarkerBefore(format), MarkerAfter(format)})
    if (!marker.empty()) tokens.push_back(marker);
  return tokens;
}

std::string NewCallId(ToolFormat format) {
  return format == ToolFormat::kMistral ? RandomName(9) : "call_" + RandomName(24);
}

Format CallsAlone(ToolFormat format, const ToolFields& tools, int64_t most,
                  const Format& otherwise) {
  Format made;
  made.kind = FormatKind::kToolCalls;
  CallSyntax& syntax = made.calls;
  syntax.arguments_key = "arguments";
  syntax.most = tools.parallel && tools.forced.empty() ? most : 1;
  if (format == ToolFormat::kHermes) {
    syntax.before = "<tool_call>\n";
    syntax.between = "\n</tool_call>\n<tool_call>\n";
    syntax.after = "\n</tool_call>";
  } else if (format == ToolFormat::kMistral) {
    syntax.before = "[";
    syntax.between = ", ";
    syntax.after = "]";
  } else {  // one alone: Llama 3.1's template has no place for two
    syntax.arguments_key = "parameters";
    syntax.most = 1;
  }
  ordered_json schemas = ordered_json::object();
  for (size_t i = 0; i < tools.tools.size(); ++i) {
    const std::string& name = tools.names[i];
    if (tools.forced.empty() || tools.forced == name)
      schemas[name] = ArgumentsSchema(name, tools.tools[i]);
  }
  ordered_json all = {{"$defs", std::move(schemas)}};
  if (otherwise.kind != FormatKind::kText) {
    ordered_json& content = all[kContentKey];
    content = otherwise.kind == FormatKind::kJsonSchema ? ordered_json::parse(otherwise.json_schema)
                                                        : ordered_json{{"type", "object"}};
    MoveReferences(absl::StrCat("#/", kContentKey), false, &content);
  }
  made.json_schema = all.dump();
  return made;
}

}  // namespace longrun::serving
