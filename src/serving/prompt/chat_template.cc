#include "serving/prompt/chat_template.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/nearest.h"
#include "model/tokenizer_config.h"
#include "serving/prompt/jinja_run.h"

namespace longrun::serving {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int64_t kLargestSource = 1 << 20;

struct BuiltInTemplate {
  std::string_view name;
  std::vector<std::string> stop;
  std::string_view source;
};

const std::vector<BuiltInTemplate>& BuiltIns() {
  static const auto* all = new std::vector<BuiltInTemplate>{
      {"plain",
       {"\nUser:", "\nSystem:"},
       R"({%- for message in messages -%}
{{ message.role | capitalize }}: {{ message.content | trim }}{{ "\n" }}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%})"},
      {"chatml",
       {"<|im_end|>"},
       R"({%- for message in messages -%}
{{ "<|im_start|>" + message.role + "\n" + message.content + "<|im_end|>\n" }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ "<|im_start|>assistant\n" }}{%- endif -%})"},
      {"llama3",
       {"<|eot_id|>"},
       R"({{- bos_token or "<|begin_of_text|>" -}}
{%- for message in messages -%}
{{ "<|start_header_id|>" + message.role + "<|end_header_id|>\n\n" }}
{{- message.content | trim }}{{ "<|eot_id|>" }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ "<|start_header_id|>assistant<|end_header_id|>\n\n" }}
{%- endif -%})"},
      {"llama2",
       {},
       R"({%- set bos = bos_token or "<s>" -%}{%- set eos = eos_token or "</s>" -%}
{%- set ns = namespace(system="") -%}
{%- for message in messages -%}
  {%- if message.role == "system" -%}
    {%- set ns.system = "<<SYS>>\n" + message.content + "\n<</SYS>>\n\n" -%}
  {%- elif message.role == "user" -%}
    {{- bos + "[INST] " + ns.system + (message.content | trim) + " [/INST]" -}}
    {%- set ns.system = "" -%}
  {%- else -%}
    {{- " " + (message.content | trim) + " " + eos -}}
  {%- endif -%}
{%- endfor -%})"},
  };
  return *all;
}

ChatTemplateOptions OptionsOf(const json& config) {
  return {.bos_token = model::SpecialTokenText(config, "bos_token"),
          .eos_token = model::SpecialTokenText(config, "eos_token")};
}

// "" where there is none. Some folders name several: "default" counts.
absl::StatusOr<std::string> TemplateText(const json& config, const std::string& path) {
  if (!config.contains("chat_template") || config["chat_template"].is_null()) return "";
  const json& field = config["chat_template"];
  if (field.is_string()) return field.get<std::string>();
  if (field.is_array()) {
    for (const json& entry : field) {
      if (entry.is_object() && entry.value("name", json()) == "default" &&
          entry.contains("template") && entry["template"].is_string())
        return entry["template"].get<std::string>();
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": chat_template: text, or a list with a \"default\" entry, is right"));
}

jinja::Value MessageList(const std::vector<ChatMessage>& messages) {
  const auto key = [](const char* name) { return MarkedText(name, Origin::kTemplate); };
  jinja::List list;
  for (const ChatMessage& message : messages) {
    // Roles are one of a few known words, so that a template may build its special tokens of them.
    jinja::Map map{{key("role"), jinja::Value::Text(message.role, Origin::kTemplate)},
                   {key("content"), jinja::Value::Text(message.content, Origin::kMessage)}};
    if (!message.name.empty())
      map.emplace_back(key("name"), jinja::Value::Text(message.name, Origin::kMessage));
    list.push_back(jinja::Value::OfMap(std::move(map)));
  }
  return jinja::Value::OfList(std::move(list));
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
  ChatTemplate made;
  made.name_ = name;
  made.options_ = options;
  made.block_ = std::make_shared<const jinja::Block>(*std::move(block));
  return made;
}

absl::StatusOr<ChatTemplate> ChatTemplate::BuiltIn(const std::string& name,
                                                   const ChatTemplateOptions& options) {
  std::vector<std::string> names;
  for (const BuiltInTemplate& known : BuiltIns()) {
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

absl::StatusOr<ChatTemplateOptions> ChatTemplate::OptionsForModel(const std::string& folder) {
  LR_ASSIGN_OR_RETURN(const json config, model::ReadTokenizerConfig(folder));
  return OptionsOf(config);
}

absl::StatusOr<ChatTemplate> ChatTemplate::ForModel(const std::string& folder) {
  const fs::path config_path = fs::path(folder) / "tokenizer_config.json";
  const fs::path template_path = fs::path(folder) / "chat_template.jinja";
  LR_ASSIGN_OR_RETURN(const json config, model::ReadTokenizerConfig(folder));
  const ChatTemplateOptions options = OptionsOf(config);
  std::string name = config_path.string() + ": chat_template";
  LR_ASSIGN_OR_RETURN(std::string source, TemplateText(config, config_path.string()));
  if (fs::exists(template_path)) {
    LR_ASSIGN_OR_RETURN(source, ReadFile(template_path.string(), kLargestSource));
    name = template_path.string();
  }
  if (source.empty()) return BuiltIn("plain", options);
  return Make(source, name, options);
}

absl::StatusOr<std::vector<Segment>> ChatTemplate::Render(const std::vector<ChatMessage>& messages,
                                                          const json& variables) const {
  jinja::Variables all;
  int64_t bytes = 0;
  for (const ChatMessage& message : messages) bytes += static_cast<int64_t>(message.content.size());
  if (variables.is_object()) {
    for (const auto& [key, value] : variables.items())
      all.emplace_back(key, jinja::FromJson(value));
  }
  const auto set = [&](const char* name, jinja::Value value) {
    std::erase_if(all, [&](const auto& entry) { return entry.first == name; });
    all.emplace_back(name, std::move(value));
  };
  set("messages", MessageList(messages));
  set("add_generation_prompt", jinja::Value{true});
  set("bos_token", jinja::Value::Text(options_.bos_token, Origin::kTemplate));
  set("eos_token", jinja::Value::Text(options_.eos_token, Origin::kTemplate));
  jinja::RunLimits limits;
  limits.work += 4 * bytes;
  limits.output_bytes += 2 * bytes;
  absl::StatusOr<MarkedText> text = jinja::Run(*block_, all, limits);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("chat template: ", std::string(text.status().message())));
  }
  return ToSegments(*text);
}

}  // namespace longrun::serving
