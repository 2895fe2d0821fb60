#include "serving/openai/requests.h"

#include "absl/strings/str_cat.h"

namespace longrun::serving {
namespace {

using nlohmann::json;

std::string At(size_t i) { return absl::StrCat("messages[", i, "]"); }

// Text, or an array of parts that are all text.
std::string ReadContent(const json& message, const std::string& where, BodyFields* fields) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    fields->Fail(where + ".content", "Missing required parameter: '" + where + ".content'.",
                 "missing_required_parameter");
    return "";
  }
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) {
    fields->Fail(where + ".content",
                 "Invalid type for '" + where +
                     ".content': expected a string or an array of text parts, "
                     "but got " +
                     KindOf(*content) + " instead.",
                 "invalid_type");
    return "";
  }
  std::string text;
  for (const json& part : *content) {
    if (!part.is_object() || part.value("type", json()) != "text" || !part.contains("text") ||
        !part["text"].is_string()) {
      fields->Fail(where + ".content", "Invalid '" + where +
                                           ".content': this model reads parts of type \"text\" "
                                           "alone.");
      return "";
    }
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

ChatMessage ReadMessage(const json& message, const std::string& where, BodyFields* fields) {
  ChatMessage read;
  if (!message.is_object()) {
    fields->Fail(where,
                 "Invalid type for '" + where + "': expected an object, but got " +
                     KindOf(message) + " instead.",
                 "invalid_type");
    return read;
  }
  const json role = message.value("role", json());
  if (role != "system" && role != "developer" && role != "user" && role != "assistant") {
    fields->Fail(where + ".role",
                 "Invalid '" + where + ".role': system, developer, user or assistant is right.",
                 "invalid_value");
    return read;
  }
  // Templates know no developers: who speaks above the user is the system.
  read.role = role == "developer" ? "system" : role.get<std::string>();
  if (message.contains("tool_calls") && !message["tool_calls"].empty())
    fields->Fail(where + ".tool_calls", "tools are not supported by this server",
                 "unsupported_parameter");
  read.content = ReadContent(message, where, fields);
  const json name = message.value("name", json());
  if (name.is_string()) read.name = name.get<std::string>();
  if (!name.is_string() && !name.is_null()) fields->WrongType(where + ".name", "a string", name);
  return read;
}

void ReadChatLogprobs(const RequestLimits& limits, BodyFields* fields, SamplingConfig* sampling) {
  bool wanted = false;
  fields->Bool("logprobs", &wanted);
  std::optional<int64_t> top;
  fields->Int("top_logprobs", 0, limits.top_logprobs, &top);
  if (top && *top > 0 && !wanted)
    return fields->Fail("top_logprobs", "'top_logprobs' needs 'logprobs' to be true.");
  if (wanted) sampling->top_logprobs = top.value_or(0);
}

// Of 1 to `most` items; false, having said so, where it is not.
bool CheckArray(const std::string& key, const json& array, const char* items, int64_t most,
                BodyFields* fields) {
  if (!array.is_array()) {
    fields->WrongType(key, absl::StrCat("an array of ", items), array);
  } else if (array.empty()) {
    fields->Fail(key, "Invalid '" + key + "': it is empty.", "empty_array");
  } else if (static_cast<int64_t>(array.size()) > most) {
    fields->Fail(key,
                 absl::StrCat("Invalid '", key, "': ", array.size(), " ", items, "; at most ", most,
                              " are taken at once."),
                 "array_above_max_length");
  } else {
    return true;
  }
  return false;
}

}  // namespace

std::vector<ChatMessage> ReadMessages(const RequestLimits& limits, BodyFields* fields) {
  std::vector<ChatMessage> messages;
  const json* array = fields->Find("messages");
  if (array == nullptr) {
    fields->Fail("messages", "Missing required parameter: 'messages'.",
                 "missing_required_parameter");
    return messages;
  }
  if (!CheckArray("messages", *array, "messages", limits.messages, fields)) return messages;
  int64_t bytes = 0;
  for (size_t i = 0; i < array->size() && fields->ok(); ++i) {
    messages.push_back(ReadMessage((*array)[i], At(i), fields));
    bytes += static_cast<int64_t>(messages.back().content.size() + messages.back().name.size());
  }
  if (bytes > limits.prompt_bytes)
    fields->Fail("messages",
                 absl::StrCat("Invalid 'messages': ", bytes, " bytes; at most ",
                              limits.prompt_bytes, " are read."),
                 "context_length_exceeded");
  return messages;
}

ChatRequest ReadChatRequest(const RequestLimits& limits, int64_t vocab_size, BodyFields* fields) {
  ChatRequest request;
  request.fields = ReadGenerationFields(limits, vocab_size, 1, fields);
  request.messages = ReadMessages(limits, fields);
  ReadChatLogprobs(limits, fields, &request.fields.sampling);
  for (const char* key : {"tools", "functions"}) {
    const json* tools = fields->Find(key);
    if (tools != nullptr && !tools->empty())
      fields->Fail(key, "tools are not supported by this server", "unsupported_parameter");
  }
  if (const json* variables = fields->Find("chat_template_kwargs")) {
    if (!variables->is_object()) fields->WrongType("chat_template_kwargs", "an object", *variables);
    if (static_cast<int64_t>(variables->dump().size()) > limits.template_variable_bytes)
      fields->Fail("chat_template_kwargs",
                   absl::StrCat("Invalid 'chat_template_kwargs': over ",
                                limits.template_variable_bytes, " bytes."),
                   "string_above_max_length");
    request.template_variables = *variables;
  }
  return request;
}

std::vector<Prompt> ReadPrompts(const std::string& key, const RequestLimits& limits, int64_t most,
                                int64_t vocab_size, BodyFields* fields) {
  const json* value = fields->Find(key);
  if (value == nullptr) {
    fields->Fail(key, "Missing required parameter: '" + key + "'.", "missing_required_parameter");
    return {};
  }
  // One prompt, or several; not copied, since they may be large.
  const bool one =
      value->is_string() || (value->is_array() && !value->empty() && (*value)[0].is_number());
  if (!one && !CheckArray(key, *value, "strings or of token ids", most, fields)) return {};
  std::vector<Prompt> prompts;
  const auto read = [&](const json& item) {
    if (item.is_string()) {
      if (static_cast<int64_t>(item.get_ref<const std::string&>().size()) > limits.prompt_bytes)
        return fields->Fail(
            key,
            absl::StrCat("Invalid '", key, "': at most ", limits.prompt_bytes, " bytes are read."),
            "context_length_exceeded");
      prompts.emplace_back(item.get<std::string>());
    } else if (item.is_array()) {
      prompts.emplace_back(ReadTokens(item, key, vocab_size, fields));
    } else {
      fields->Fail(key, absl::StrCat("Invalid '", key,
                                     "': strings or arrays of token ids are "
                                     "right."));
    }
  };
  if (one) {
    read(*value);
  } else {
    for (size_t i = 0; i < value->size() && fields->ok(); ++i) read((*value)[i]);
  }
  if (!fields->ok()) return {};
  return prompts;
}

CompletionRequest ReadCompletionRequest(const RequestLimits& limits, int64_t vocab_size,
                                        BodyFields* fields) {
  CompletionRequest request;
  request.fields = ReadGenerationFields(limits, vocab_size, 0, fields);
  request.prompts = ReadPrompts("prompt", limits, limits.prompts, vocab_size, fields);
  fields->Bool("echo", &request.echo);
  fields->Int("logprobs", 0, limits.top_logprobs, &request.fields.sampling.top_logprobs);
  std::string suffix;
  fields->String("suffix", &suffix);
  if (!suffix.empty())
    fields->Fail("suffix", "'suffix' is not supported by this model.", "unsupported_parameter");
  int64_t best_of = request.fields.choices;
  fields->Int("best_of", 1, limits.choices, &best_of);
  if (best_of != request.fields.choices)
    fields->Fail("best_of", "'best_of' other than 'n' is not supported.", "unsupported_parameter");
  if (static_cast<int64_t>(request.prompts.size()) * request.fields.choices > limits.sequences)
    fields->Fail("n", absl::StrCat("prompts × n may be at most ", limits.sequences, "."),
                 "integer_above_max_value");
  return request;
}

EmbeddingRequest ReadEmbeddingRequest(const RequestLimits& limits, int64_t vocab_size,
                                      BodyFields* fields) {
  EmbeddingRequest request;
  fields->String("model", &request.model);
  if (request.model.empty())
    fields->Fail("model", "you must provide a model parameter", "missing_required_parameter");
  request.inputs = ReadPrompts("input", limits, limits.inputs, vocab_size, fields);
  std::string format = "float";
  fields->String("encoding_format", &format);
  if (format != "float" && format != "base64")
    fields->Fail("encoding_format", "Invalid 'encoding_format': float or base64 is right.");
  request.base64 = format == "base64";
  if (fields->Find("dimensions") != nullptr)
    fields->Fail("dimensions", "'dimensions' is not supported by this model.",
                 "unsupported_parameter");
  return request;
}

}  // namespace longrun::serving
