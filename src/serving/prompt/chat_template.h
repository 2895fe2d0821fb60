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
#include "serving/prompt/jinja_parser.h"

namespace longrun::serving {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"; of the caller's checking
  std::string content;
  std::string name;  // "": none
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
  // The folder's own, else plain.
  static absl::StatusOr<ChatTemplate> ForModel(const std::string& folder);
  // Of tokenizer_config.json, for another template than the folder's own.
  static absl::StatusOr<ChatTemplateOptions> OptionsForModel(const std::string& folder);

  // With the beginning of the assistant's answer at the end. `variables`: an object of further ones
  // (enable_thinking …); those of its own cannot be set. InvalidArgument: the template refuses the
  // messages, or has a mistake.
  absl::StatusOr<std::vector<Segment>> Render(const std::vector<ChatMessage>& messages,
                                              const nlohmann::json& variables = {}) const;

  const std::string& name() const { return name_; }
  // Texts that end an answer, for models that know no token for it.
  const std::vector<std::string>& stop() const { return stop_; }
  // The text of the token that ends an answer; "" where the template does not say.
  const std::string& eos_token() const { return options_.eos_token; }

 private:
  std::string name_;
  ChatTemplateOptions options_;
  std::shared_ptr<const jinja::Block> block_;
  std::vector<std::string> stop_;
};

}  // namespace longrun::serving
