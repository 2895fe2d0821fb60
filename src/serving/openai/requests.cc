#include "serving/openai/requests.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace longrun::serving {
namespace {

using nlohmann::json;

void ReadChatLogprobs(const RequestLimits& limits, BodyFields* fields, SamplingConfig* sampling) {
  bool wanted = false;
  fields->Bool("logprobs", &wanted);
  std::optional<int64_t> top;
  fields->Int("top_logprobs", 0, limits.top_logprobs, &top);
  if (top && *top > 0 && !wanted)
    return fields->Fail("top_logprobs", "'top_logprobs' needs 'logprobs' to be true.");
  if (wanted) sampling->top_logprobs = top.value_or(0);
}

}  // namespace

ChatPrompt ChatRequest::Prompt() && {
  ChatPrompt prompt;
  prompt.messages = std::move(messages);
  prompt.variables = std::move(template_variables);
  if (!tools.any()) return prompt;  // tool_choice "none": the model knows of none
  prompt.tools = std::move(tools.tools);
  prompt.tool_bytes = tools.bytes;
  return prompt;
}

ChatRequest ReadChatRequest(const RequestLimits& limits, int64_t vocab_size, BodyFields* fields) {
  ChatRequest request;
  request.fields = ReadGenerationFields(limits, vocab_size, 1, fields);
  request.messages = ReadMessages(limits, fields);
  ReadChatLogprobs(limits, fields, &request.fields.sampling);
  request.tools = ReadTools(limits, fields);
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
  if (!one && !fields->CheckArray(key, *value, "strings or of token ids", most)) return {};
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
  fields->Bool("add_special_tokens", &request.begin);
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
