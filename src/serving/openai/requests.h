// The bodies of POST /v1/chat/completions, /v1/completions and /v1/embeddings, checked.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "serving/openai/body_fields.h"
#include "serving/openai/chat_messages.h"
#include "serving/openai/generation_fields.h"
#include "serving/openai/request_limits.h"
#include "serving/openai/tools.h"
#include "serving/prompt/chat_template.h"

namespace longrun::serving {

struct ChatRequest {
  GenerationFields fields;
  std::vector<ChatMessage> messages;
  ToolFields tools;
  nlohmann::json template_variables;  // chat_template_kwargs

  // What the template is given. The messages and tools move there; the rest stays.
  ChatPrompt Prompt() &&;
};

using Prompt = std::variant<std::string, std::vector<TokenId>>;

struct CompletionRequest {
  GenerationFields fields;
  std::vector<Prompt> prompts;  // at least one
  bool echo = false;
  bool begin = true;  // put the model's own beginning before texts (vLLM's add_special_tokens)
};

struct EmbeddingRequest {
  std::string model;
  std::vector<Prompt> inputs;
  bool base64 = false;
};

ChatRequest ReadChatRequest(const RequestLimits& limits, int64_t vocab_size, BodyFields* fields);
CompletionRequest ReadCompletionRequest(const RequestLimits& limits, int64_t vocab_size,
                                        BodyFields* fields);
EmbeddingRequest ReadEmbeddingRequest(const RequestLimits& limits, int64_t vocab_size,
                                      BodyFields* fields);

// At most `most` of them: a string, an array of strings, an array of token ids, or an array of such
// arrays.
std::vector<Prompt> ReadPrompts(const std::string& key, const RequestLimits& limits, int64_t most,
                                int64_t vocab_size, BodyFields* fields);

}  // namespace longrun::serving
