// The first byte chooses the endpoint, the rest is a body. Any body is a request within the limits
// or an error that a client understands; what was read can be told again.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/check.h"
#include "model/utf8.h"
#include "serving/openai/api_error.h"
#include "serving/openai/requests.h"
#include "serving/openai/tool_format.h"

namespace {

using longrun::serving::ApiError;
using longrun::serving::BodyFields;
using longrun::serving::GenerationFields;
using longrun::serving::Prompt;
using longrun::serving::RequestLimits;
using longrun::serving::TokenId;

constexpr int64_t kVocabulary = 300;

void CheckError(const ApiError& error) {
  LR_CHECK(error.status >= 400 && error.status < 500);
  LR_CHECK(!error.message.empty());
  LR_CHECK(!error.code.empty());
  const nlohmann::json body = nlohmann::json::parse(ErrorBody(error));
  LR_CHECK_EQ(body.at("error").size(), 4u);
}

void CheckTokens(const std::vector<TokenId>& tokens) {
  for (const TokenId token : tokens) LR_CHECK(token >= 0 && token < kVocabulary);
}

void CheckFields(const GenerationFields& fields, const RequestLimits& limits) {
  LR_CHECK(!fields.model.empty());
  LR_CHECK(fields.choices >= 1 && fields.choices <= limits.choices);
  LR_CHECK(fields.max_tokens.value_or(1) >= 0);
  LR_CHECK_LE(static_cast<int64_t>(fields.stop.size()), limits.stop_strings);
  for (const std::string& stop : fields.stop)
    LR_CHECK(!stop.empty() && static_cast<int64_t>(stop.size()) <= limits.stop_bytes);
  CheckTokens(fields.stop_tokens);
  // What the engine would refuse is refused before.
  LR_CHECK(fields.sampling.Validate(kVocabulary).ok());
  if (fields.format.kind == longrun::serving::FormatKind::kJsonSchema) {
    LR_CHECK_LE(static_cast<int64_t>(fields.format.json_schema.size()), limits.schema_bytes);
    LR_CHECK(nlohmann::json::accept(fields.format.json_schema));
  }
}

void CheckTools(const longrun::serving::ToolFields& tools, const RequestLimits& limits) {
  LR_CHECK_LE(static_cast<int64_t>(tools.tools.size()), limits.tools);
  LR_CHECK_EQ(tools.tools.size(), tools.names.size());
  if (!tools.any()) return;
  for (const auto format :
       {longrun::serving::ToolFormat::kHermes, longrun::serving::ToolFormat::kLlama3,
        longrun::serving::ToolFormat::kMistral}) {
    const auto confined = longrun::serving::CallsAlone(format, tools, limits.calls);
    const auto schemas = nlohmann::json::parse(confined.json_schema);
    LR_CHECK_EQ(schemas.at("$defs").size(), tools.forced.empty() ? tools.tools.size() : 1);
  }
}

void CheckPrompts(const std::vector<Prompt>& prompts, int64_t most) {
  LR_CHECK(!prompts.empty() && static_cast<int64_t>(prompts.size()) <= most);
  for (const Prompt& prompt : prompts) {
    if (const auto* tokens = std::get_if<std::vector<TokenId>>(&prompt)) CheckTokens(*tokens);
    if (const auto* text = std::get_if<std::string>(&prompt))
      LR_CHECK(longrun::model::IsValidUtf8(*text));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const RequestLimits limits;
  nlohmann::json body;
  ApiError error;
  if (!ParseBody(limits, text, &body, &error)) {
    CheckError(error);
    return 0;
  }
  BodyFields fields(body, "", text);
  if (data[0] == 'c') {
    const auto request = ReadChatRequest(limits, kVocabulary, &fields);
    if (fields.ok()) {
      CheckFields(request.fields, limits);
      LR_CHECK(!request.messages.empty());
      CheckTools(request.tools, limits);
    }
  } else if (data[0] == 'e') {
    const auto request = ReadEmbeddingRequest(limits, kVocabulary, &fields);
    if (fields.ok()) CheckPrompts(request.inputs, limits.inputs);
  } else {
    const auto request = ReadCompletionRequest(limits, kVocabulary, &fields);
    if (fields.ok()) {
      CheckFields(request.fields, limits);
      CheckPrompts(request.prompts, limits.prompts);
    }
  }
  if (!fields.ok()) CheckError(fields.error());
  return 0;
}
