#include "serving/prompt/chat_template.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/nearest.h"
#include "model/tokenizer_config.h"
#include "serving/prompt/built_in_templates.h"
#include "serving/prompt/jinja_lexer.h"
#include "serving/prompt/jinja_run.h"

namespace longrun::serving {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int64_t kLargestSource = 1 << 20;

// "" where there is none. Some folders name several: "default" counts, and "tool_use" where there
// are tools.
absl::StatusOr<std::string> TemplateText(const json& config, const std::string& name,
                                         const std::string& path) {
  if (!config.contains("chat_template") || config["chat_template"].is_null()) return "";
  const json& field = config["chat_template"];
  if (field.is_string()) return name == "default" ? field.get<std::string>() : "";
  if (field.is_array()) {
    for (const json& entry : field) {
      if (entry.is_object() && entry.value("name", json()) == name && entry.contains("template") &&
          entry["template"].is_string())
        return entry["template"].get<std::string>();
    }
    if (name != "default") return "";
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": chat_template: text, or a list with a \"default\" entry, is right"));
}

MarkedText Key(const char* name) { return {name, Origin::kTemplate}; }
jinja::Value OfMessage(const std::string& text) {
  return jinja::Value::Text(text, Origin::kMessage);
}

// As transformers hands them on: arguments are an object, not its text.
jinja::Value CallList(const std::vector<ToolCall>& calls) {
  jinja::List list;
  for (const ToolCall& call : calls) {
    jinja::Map function{{Key("name"), OfMessage(call.name)},
                        {Key("arguments"), jinja::FromJson(call.arguments)}};
    list.push_back(
        jinja::Value::OfMap({{Key("id"), OfMessage(call.id)},
                             {Key("type"), jinja::Value::Text("function", Origin::kTemplate)},
                             {Key("function"), jinja::Value::OfMap(std::move(function))}}));
  }
  return jinja::Value::OfList(std::move(list));
}

// A key stands only where there is something: templates ask whether "tool_calls" is in a message.
jinja::Value MessageList(const std::vector<ChatMessage>& messages) {
  jinja::List list;
  for (const ChatMessage& message : messages) {
    // Roles are one of a few known words, so that a template may build its special tokens of them.
    jinja::Map map{{Key("role"), jinja::Value::Text(message.role, Origin::kTemplate)},
                   {Key("content"), OfMessage(message.content)}};
    if (!message.name.empty()) map.emplace_back(Key("name"), OfMessage(message.name));
    if (!message.tool_calls.empty())
      map.emplace_back(Key("tool_calls"), CallList(message.tool_calls));
    if (!message.tool_call_id.empty())
      map.emplace_back(Key("tool_call_id"), OfMessage(message.tool_call_id));
    list.push_back(jinja::Value::OfMap(std::move(map)));
  }
  return jinja::Value::OfList(std::move(list));
}

jinja::Value ToolList(const std::vector<nlohmann::ordered_json>& tools) {
  if (tools.empty()) return {jinja::None{}};
  jinja::List list;
  for (const nlohmann::ordered_json& tool : tools) list.push_back(jinja::FromJson(tool));
  return jinja::Value::OfList(std::move(list));
}

bool Names(const std::vector<jinja::Token>& tokens, std::string_view name) {
  return std::any_of(tokens.begin(), tokens.end(), [&](const jinja::Token& token) {
    return token.kind == jinja::Token::Kind::kName && token.text == name;
  });
}

bool HasCalls(const std::vector<ChatMessage>& messages) {
  return std::any_of(messages.begin(), messages.end(), [](const ChatMessage& message) {
    return !message.tool_calls.empty() || message.role == "tool";
  });
}

int64_t BytesOf(const ChatMessage& message) {
  size_t bytes = message.content.size();
  for (const ToolCall& call : message.tool_calls) bytes += call.bytes;
  return static_cast<int64_t>(bytes);
}

std::vector<Segment> ToSegments(const MarkedText& text) {
  std::vector<Segment> segments;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    while (end < text.size() && text.origin(end) == text.origin(begin)) ++end;
    segments.push_back(
        {text.bytes().substr(begin, end - begin), text.origin(begin) == Origin::kTemplate});
    begin = end;
  }
  return segments;
}

}  // namespace

absl::StatusOr<ChatTemplate> ChatTemplate::Make(std::string_view source, const std::string& name,
                                                const ChatTemplateOptions& options) {
  if (static_cast<int64_t>(source.size()) > kLargestSource)
    return absl::InvalidArgumentError(absl::StrCat(name, ": larger than a template's 1 MiB"));
  absl::StatusOr<jinja::Block> block = jinja::Parse(source);
  if (!block.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", std::string(block.status().message())));
  }
  LR_ASSIGN_OR_RETURN(const std::vector<jinja::Token> tokens, jinja::Lex(source));
  ChatTemplate made;
  made.name_ = name;
  made.source_ = std::string(source);
  made.takes_tools_ = Names(tokens, "tools");
  made.options_ = options;
  made.block_ = std::make_shared<const jinja::Block>(*std::move(block));
  return made;
}

absl::StatusOr<ChatTemplate> ChatTemplate::BuiltIn(const std::string& name,
                                                   const ChatTemplateOptions& options) {
  std::vector<std::string> names;
  for (const BuiltInTemplate& known : BuiltInTemplates()) {
    names.emplace_back(known.name);
    if (known.name != name) continue;
    LR_ASSIGN_OR_RETURN(ChatTemplate made, Make(known.source, name, options));
    made.stop_ = known.stop;
    return made;
  }
  return absl::InvalidArgumentError(absl::StrCat("there is no chat template \"", name,
                                                 "\"; chatml, llama3, llama2 and plain are there",
                                                 DidYouMean(name, names)));
}

ChatTemplateOptions ChatTemplate::OptionsFor(const json& config) {
  return {.bos_token = model::SpecialTokenText(config, "bos_token"),
          .eos_token = model::SpecialTokenText(config, "eos_token")};
}

absl::StatusOr<ChatTemplate> ChatTemplate::ForModel(const std::string& folder, const json& config) {
  const fs::path config_path = fs::path(folder) / "tokenizer_config.json";
  const fs::path template_path = fs::path(folder) / "chat_template.jinja";
  const ChatTemplateOptions options = OptionsFor(config);
  std::string name = config_path.string() + ": chat_template";
  LR_ASSIGN_OR_RETURN(std::string source, TemplateText(config, "default", config_path.string()));
  LR_ASSIGN_OR_RETURN(std::string tool_use, TemplateText(config, "tool_use", config_path.string()));
  if (fs::exists(template_path)) {
    LR_ASSIGN_OR_RETURN(source, ReadFile(template_path.string(), kLargestSource));
    name = template_path.string();
    tool_use.clear();
  }
  if (source.empty()) return BuiltIn("plain", options);
  LR_ASSIGN_OR_RETURN(ChatTemplate made, Make(source, name, options));
  if (!tool_use.empty()) {
    LR_ASSIGN_OR_RETURN(ChatTemplate with_tools, Make(tool_use, name + ": tool_use", options));
    made.tool_use_ = std::make_shared<const ChatTemplate>(std::move(with_tools));
  }
  return made;
}

absl::StatusOr<std::vector<Segment>> ChatTemplate::Render(const ChatPrompt& prompt) const {
  const bool has_tools = !prompt.tools.empty() || HasCalls(prompt.messages);
  if (has_tools && tool_use_ != nullptr) return tool_use_->Render(prompt);
  jinja::Variables all;
  int64_t bytes = prompt.tool_bytes;
  for (const ChatMessage& message : prompt.messages) bytes += BytesOf(message);
  if (prompt.variables.is_object()) {
    for (const auto& [key, value] : prompt.variables.items())
      all.emplace_back(key, jinja::FromJson(value));
  }
  const auto set = [&](const char* name, jinja::Value value) {
    std::erase_if(all, [&](const auto& entry) { return entry.first == name; });
    all.emplace_back(name, std::move(value));
  };
  set("messages", MessageList(prompt.messages));
  set("tools", ToolList(prompt.tools));
  set("add_generation_prompt", jinja::Value{true});
  set("bos_token", jinja::Value::Text(options_.bos_token, Origin::kTemplate));
  set("eos_token", jinja::Value::Text(options_.eos_token, Origin::kTemplate));
  jinja::RunLimits limits;
  limits.work += 4 * bytes;
  limits.output_bytes += 2 * bytes;
  absl::StatusOr<MarkedText> text = jinja::Run(*block_, all, limits, prompt.now);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("chat template: ", std::string(text.status().message())));
  }
  return ToSegments(*text);
}

}  // namespace longrun::serving
