#include "serving/openai/generation_fields.h"

#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "serving/openai/peer_fields.h"

namespace longrun::serving {
namespace {

using nlohmann::json;

constexpr int64_t kAny = int64_t{1} << 53;  // numbers that JSON carries exactly

void ReadStop(const RequestLimits& limits, BodyFields* fields, std::vector<std::string>* stop) {
  const json* value = fields->Find("stop");
  if (value == nullptr) return;
  const json list = value->is_string() ? json::array({*value}) : *value;
  if (!list.is_array()) return fields->WrongType("stop", "a string or an array of strings", *value);
  if (static_cast<int64_t>(list.size()) > limits.stop_strings)
    return fields->Fail("stop",
                        absl::StrCat("Invalid 'stop': ", list.size(), " strings; at most ",
                                     limits.stop_strings, " are right."),
                        "array_above_max_length");
  for (const json& item : list) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty())
      return fields->Fail("stop", "Invalid 'stop': strings that are not empty are right.");
    if (static_cast<int64_t>(item.get_ref<const std::string&>().size()) > limits.stop_bytes)
      return fields->Fail(
          "stop",
          absl::StrCat("Invalid 'stop': a string is longer than ", limits.stop_bytes, " bytes."),
          "string_above_max_length");
    stop->push_back(item.get<std::string>());
  }
}

void ReadLogitBias(const RequestLimits& limits, int64_t vocab_size, BodyFields* fields,
                   std::vector<std::pair<TokenId, float>>* bias) {
  const json* value = fields->Find("logit_bias");
  if (value == nullptr) return;
  if (!value->is_object()) return fields->WrongType("logit_bias", "an object", *value);
  if (static_cast<int64_t>(value->size()) > limits.logit_bias)
    return fields->Fail("logit_bias",
                        absl::StrCat("Invalid 'logit_bias': ", value->size(), " entries; at most ",
                                     limits.logit_bias, " are right."));
  for (const auto& [key, amount] : value->items()) {
    int64_t token = -1;
    if (!absl::SimpleAtoi(key, &token) || token < 0 || token >= vocab_size)
      return fields->Fail("logit_bias",
                          absl::StrCat("Invalid 'logit_bias': \"", key.substr(0, 20),
                                       "\" is no token id; 0 to ", vocab_size - 1, " are."));
    if (!amount.is_number() || !(amount.get<double>() >= -100 && amount.get<double>() <= 100))
      return fields->Fail("logit_bias",
                          "Invalid 'logit_bias': numbers from -100 to 100 are right.");
    bias->emplace_back(static_cast<TokenId>(token), amount.get<float>());
  }
}

void ReadFormat(const RequestLimits& limits, BodyFields* fields, Format* format) {
  const json* value = fields->Find("response_format");
  if (value == nullptr) return;
  const std::string type =
      value->is_object() && value->contains("type") && (*value)["type"].is_string()
          ? (*value)["type"].get<std::string>()
          : "";
  if (type == "text") return;
  if (type == "json_object") {
    format->kind = FormatKind::kJsonObject;
    return;
  }
  if (type != "json_schema")
    return fields->Fail("response_format",
                        "Invalid 'response_format': a type of text, json_object or json_schema is "
                        "right.");
  const auto inner = value->find("json_schema");
  if (inner == value->end() || !inner->is_object() || !inner->contains("schema") ||
      !((*inner)["schema"].is_object() || (*inner)["schema"].is_boolean()))
    return fields->Fail("response_format.json_schema",
                        "Missing required parameter: 'response_format.json_schema.schema'.",
                        "missing_required_parameter");
  const auto bytes = static_cast<int64_t>(value->dump().size());
  if (bytes > limits.schema_bytes)
    return fields->Fail("response_format.json_schema",
                        absl::StrCat("Invalid 'response_format': it has ", bytes,
                                     " bytes; at most ", limits.schema_bytes, " are right."),
                        "string_above_max_length");
  format->kind = FormatKind::kJsonSchema;
  format->json_schema = fields->InOrder("response_format").at("json_schema").at("schema").dump();
}

void ReadStream(BodyFields* fields, GenerationFields* to) {
  fields->Bool("stream", &to->stream);
  const json* options = fields->Find("stream_options");
  if (options == nullptr) return;
  if (!options->is_object()) return fields->WrongType("stream_options", "an object", *options);
  // Clients send it with streams and without: what has no stream has no use for it.
  BodyFields inner(*options, "stream_options.");
  inner.Bool("include_usage", &to->include_usage);
  fields->Take(inner);
}

}  // namespace

std::vector<TokenId> ReadTokens(const json& array, const std::string& key, int64_t vocab_size,
                                BodyFields* fields) {
  std::vector<TokenId> tokens;
  tokens.reserve(array.size());
  for (const json& item : array) {
    if (!item.is_number_integer() || item.get<int64_t>() < 0 || item.get<int64_t>() >= vocab_size) {
      fields->Fail(key, absl::StrCat("Invalid '", key, "': token ids are whole numbers from 0 to ",
                                     vocab_size - 1, "."));
      return {};
    }
    tokens.push_back(item.get<TokenId>());
  }
  return tokens;
}

GenerationFields ReadGenerationFields(const RequestLimits& limits, int64_t vocab_size,
                                      int64_t fewest_tokens, BodyFields* fields) {
  GenerationFields to;
  fields->String("model", &to.model);
  if (to.model.empty())
    fields->Fail("model", "you must provide a model parameter", "missing_required_parameter");
  fields->Int("max_tokens", fewest_tokens, kAny, &to.max_tokens);
  fields->Int("max_completion_tokens", fewest_tokens, kAny, &to.max_tokens);
  fields->Int("n", 1, limits.choices, &to.choices);
  std::optional<int64_t> seed;
  using Seed = std::numeric_limits<int64_t>;
  fields->Int("seed", Seed::min(), Seed::max(), &seed);
  if (seed) to.seed = static_cast<uint64_t>(*seed);
  SamplingConfig& sampling = to.sampling;
  fields->Double("temperature", 0, 2, &sampling.temperature);
  fields->Double("top_p", 0, 1, &sampling.top_p);
  if (sampling.top_p == 0)
    fields->Fail("top_p", "Invalid 'top_p': 0 is out of range; above 0 and at most 1 is right.",
                 "decimal_below_min_value");
  fields->Double("min_p", 0, 1, &sampling.min_p);
  fields->Int("top_k", -1, kAny, &sampling.top_k);
  if (sampling.top_k < 0 || sampling.top_k >= vocab_size) sampling.top_k = 0;  // -1: all, in vLLM
  fields->Double("frequency_penalty", -2, 2, &sampling.frequency_penalty);
  fields->Double("presence_penalty", -2, 2, &sampling.presence_penalty);
  fields->Double("repetition_penalty", 0.01, 10, &sampling.repetition_penalty);
  ReadLogitBias(limits, vocab_size, fields, &sampling.logit_bias);
  ReadFormat(limits, fields, &to.format);
  ReadStop(limits, fields, &to.stop);
  if (const json* tokens = fields->Find("stop_token_ids")) {
    if (!tokens->is_array() || static_cast<int64_t>(tokens->size()) > limits.stop_tokens) {
      fields->Fail("stop_token_ids", absl::StrCat("Invalid 'stop_token_ids': an array of at most ",
                                                  limits.stop_tokens, " token ids is right."));
    } else {
      to.stop_tokens = ReadTokens(*tokens, "stop_token_ids", vocab_size, fields);
    }
  }
  fields->Bool("ignore_eos", &to.ignore_end_of_text);
  int64_t priority = 0;
  fields->Int("priority", std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max(),
              &priority);
  to.priority = static_cast<int32_t>(priority);
  std::string ignored;  // checked for their type alone
  fields->String("user", &ignored);
  fields->String("prompt_cache_key", &ignored);
  ReadStream(fields, &to);
  RefusePeerFields(fields);
  return to;
}

}  // namespace longrun::serving
