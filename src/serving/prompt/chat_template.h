// Messages to the one text that a model was trained to continue.
//
// A model says how in its folder: chat_template.jinja, or "chat_template" in tokenizer_config.json,
// in the part of Jinja that docs/chat-templates.md lists. Models without one get "plain". Rendering
// is bounded in work, depth and output whatever the template. A ChatTemplate never changes once
// made: any thread may use it.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "serving/prompt/jinja_parser.h"

namespace longrun::serving {

// What an assistant asked to be called.
struct ToolCall {
  std::string id;
  std::string name;
  nlohmann::ordered_json arguments;  // an object
  size_t bytes = 0;                  // of its texts
};

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", "tool"; of the caller's checking
  std::string content;
  std::string name = {};                  // "": none
  std::vector<ToolCall> tool_calls = {};  // of an assistant
  std::string tool_call_id = {};          // of a tool: which call it answers; "": none
};

struct ChatPrompt {
  std::vector<ChatMessage> messages;
  // An object of further ones (enable_thinking …); the template's own cannot be set.
  nlohmann::json variables = {};
  std::vector<nlohmann::ordered_json> tools = {};  // as the request has them; empty: none
  int64_t tool_bytes = 0;                          // of their text
  Time now = {};                                   // for templates that tell the date
};

// Neighbours differ in where they come from. Only the template's may become special tokens.
struct Segment {
  std::string text;
  bool from_template = false;
};

struct ChatTemplateOptions {
  std::string bos_token;  // text of special tokens that templates print; "": none
  std::string eos_token;
};

class ChatTemplate {
 public:
  // `name`: how messages call it. InvalidArgument: not the Jinja that is understood, with the line.
  static absl::StatusOr<ChatTemplate> Make(std::string_view source, const std::string& name,
                                           const ChatTemplateOptions& options);
  // chatml, llama3, llama2 or plain.
  static absl::StatusOr<ChatTemplate> BuiltIn(const std::string& name,
                                              const ChatTemplateOptions& options);
  // The folder's own, else plain; `config` is its tokenizer_config.json.
  static absl::StatusOr<ChatTemplate> ForModel(const std::string& folder,
                                               const nlohmann::json& config);
  // Of tokenizer_config.json, for another template than the folder's own.
  static ChatTemplateOptions OptionsFor(const nlohmann::json& config);

  // With the beginning of the assistant's answer at the end. InvalidArgument: the template refuses
  // the messages, or has a mistake.
  absl::StatusOr<std::vector<Segment>> Render(const ChatPrompt& prompt) const;

  const std::string& name() const { return name_; }
  // It reads the variable `tools`. Of others neither tools nor calls nor their results may be
  // asked: they would be left out without a word.
  bool takes_tools() const { return tool_use().takes_tools_; }
  // The text of what renders chats with tools.
  const std::string& tool_source() const { return tool_use().source_; }
  // Texts that end an answer, for models that know no token for it.
  const std::vector<std::string>& stop() const { return stop_; }
  // The text of the token that ends an answer; "" where the template does not say.
  const std::string& eos_token() const { return options_.eos_token; }

 private:
  const ChatTemplate& tool_use() const { return tool_use_ == nullptr ? *this : *tool_use_; }

  std::string name_;
  std::string source_;
  bool takes_tools_ = false;
  ChatTemplateOptions options_;
  std::shared_ptr<const jinja::Block> block_;
  std::shared_ptr<const ChatTemplate> tool_use_;  // for chats with tools; null: the same as for all
  std::vector<std::string> stop_;
};

}  // namespace longrun::serving
