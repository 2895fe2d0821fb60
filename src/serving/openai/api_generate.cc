// The endpoints that generate: chat, completions, embeddings.
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "model/utf8.h"
#include "serving/openai/api_state.h"
#include "serving/openai/embedding.h"
#include "serving/openai/generation.h"

namespace longrun::serving {
namespace {

using nlohmann::json;

constexpr int64_t kDefaultCompletionTokens = 16;  // as OpenAI's

// As answers' texts are made: whole characters, and special tokens have none.
std::string AnswerText(const model::Tokenizer& tokenizer, std::vector<TokenId> tokens) {
  std::erase_if(tokens, [&](TokenId token) {
    return token >= tokenizer.vocab_size() || tokenizer.IsSpecial(token);
  });
  model::Utf8Stream stream;
  std::string text = stream.Push(tokenizer.Decode(tokens).value_or(""));
  return text + stream.Finish();
}

}  // namespace

std::string Api::State::TenantName(const Exchange& exchange) const {
  return exchange.tenant ? config.tenants[*exchange.tenant].name : "";
}

std::optional<ApiError> Api::State::CheckModel(const Exchange& exchange,
                                               const std::string& model) const {
  if (std::find(config.models.begin(), config.models.end(), model) == config.models.end()) {
    return ApiError{
        .status = 404,
        .message = absl::StrCat("The model '", model.substr(0, 100), "' does not exist; '",
                                config.models[0], "' is served here."),
        .param = "model",
        .code = "model_not_found"};
  }
  if (exchange.tenant && !config.tenants[*exchange.tenant].MayUse(model)) {
    return ApiError{.status = 403,
                    .message = absl::StrCat("You are not allowed to use the model '", model, "'."),
                    .type = "permission_error",
                    .param = "model",
                    .code = "model_not_allowed"};
  }
  return std::nullopt;
}

std::optional<ApiError> Api::State::CheckReady() const {
  if (!draining) return std::nullopt;
  return FromStatus(absl::UnavailableError("the server is stopping"));
}

std::optional<ApiError> Api::State::CheckPriority(const Exchange& exchange,
                                                  int32_t priority) const {
  if (!exchange.tenant || priority <= config.tenants[*exchange.tenant].max_priority)
    return std::nullopt;
  return ApiError{.status = 403,
                  .message = absl::StrCat("Your highest priority is ",
                                          config.tenants[*exchange.tenant].max_priority, "."),
                  .type = "permission_error",
                  .param = "priority",
                  .code = "priority_not_allowed"};
}

std::optional<ApiError> Api::State::CheckLength(const std::string& param, size_t prompt_tokens,
                                                int64_t max_tokens) const {
  const auto prompt = static_cast<int64_t>(prompt_tokens);
  if (prompt == 0) return BadRequest(param, absl::StrCat("Invalid '", param, "': it is empty."));
  if (prompt + max_tokens <= config.context && prompt <= config.context) return std::nullopt;
  return BadRequest(
      param,
      absl::StrCat("This model's maximum context length is ", config.context,
                   " tokens. However, you requested ", prompt + max_tokens, " tokens (", prompt,
                   " in the ", param, ", ", max_tokens, " in the completion). Please reduce the ",
                   "length of the ", param, " or of the completion."),
      "context_length_exceeded");
}

std::optional<ApiError> Api::State::CheckTextBytes(const std::string& param, size_t bytes) const {
  if (static_cast<int64_t>(bytes) <= longest_text_bytes) return std::nullopt;
  return BadRequest(param,
                    absl::StrCat("This model's maximum context length is ", config.context,
                                 " tokens, which no text over ", longest_text_bytes,
                                 " bytes fits. However, the ", param, " has ", bytes, " bytes."),
                    "context_length_exceeded");
}

std::optional<ApiError> Api::State::Encode(const std::string& param, const Prompt& prompt,
                                           std::vector<TokenId>* tokens, bool begin) {
  if (const auto* given = std::get_if<std::vector<TokenId>>(&prompt)) {
    *tokens = *given;
    return std::nullopt;
  }
  const auto& text = std::get<std::string>(prompt);
  if (auto refused = CheckTextBytes(param, text.size())) return refused;
  if (begin) *tokens = config.begin_tokens;
  const std::vector<TokenId> encoded = encoder.EncodeText(text);
  tokens->insert(tokens->end(), encoded.begin(), encoded.end());
  return std::nullopt;
}

std::optional<ApiError> Api::State::CheckTools(const ChatPrompt& prompt) const {
  if (chat.takes_tools()) return std::nullopt;
  const auto refused = [this](const std::string& param) {
    return BadRequest(param,
                      absl::StrCat("The chat template of this server, ", chat.name(),
                                   ", has no place for tools. Its operator can choose one that has "
                                   "(longrun serve --chat-template chatml, llama3 or a file)."),
                      "unsupported_parameter");
  };
  if (!prompt.tools.empty()) return refused("tools");
  for (size_t i = 0; i < prompt.messages.size(); ++i) {
    const ChatMessage& message = prompt.messages[i];
    if (message.role == "tool") return refused(absl::StrCat("messages[", i, "].role"));
    if (!message.tool_calls.empty()) return refused(absl::StrCat("messages[", i, "].tool_calls"));
  }
  return std::nullopt;
}

std::shared_ptr<const ToolReading> Api::State::ReadingOf(const ToolFields& tools,
                                                         Format* format) const {
  const bool must = tools.choice == ToolFields::Choice::kRequired;
  if (!tools.any() || (tool_format == ToolFormat::kNone && !must)) return nullptr;
  auto reading = std::make_shared<ToolReading>();
  reading->format = tool_format;
  reading->names.insert(tools.names.begin(), tools.names.end());
  reading->most = tools.parallel ? config.limits.calls : 1;
  const bool confined = must || format->kind != FormatKind::kText;
  reading->calls_alone = confined;
  reading->new_id = [this_format = tool_format] { return NewCallId(this_format); };
  if (confined)
    *format = CallsAlone(tool_format, tools, config.limits.calls, must ? Format{} : *format);
  return reading;
}

std::optional<ApiError> Api::State::EncodeChat(ChatPrompt prompt, std::vector<TokenId>* tokens) {
  if (auto refused = CheckTools(prompt)) return refused;
  prompt.now = Now();
  const auto segments = chat.Render(prompt);
  if (!segments.ok()) return BadRequest("messages", std::string(segments.status().message()));
  size_t bytes = 0;
  for (const Segment& segment : *segments) bytes += segment.text.size();
  if (auto refused = CheckTextBytes("messages", bytes)) return refused;
  *tokens = encoder.Encode(*segments);
  return std::nullopt;
}

GenerationRequest Api::State::RequestOf(const Exchange& exchange, const GenerationFields& fields,
                                        const std::string& id, std::vector<TokenId> prompt,
                                        int64_t max_tokens) const {
  GenerationRequest request;
  request.id = id;
  request.tenant = TenantName(exchange);
  request.priority = fields.priority;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.choices = fields.choices;
  request.sampling = fields.sampling;
  request.sampling.seed = fields.seed ? *fields.seed : RandomSeed();
  request.format = fields.format;
  request.stop = fields.stop;
  request.stop_tokens = fields.stop_tokens;
  request.ignore_end_of_text = fields.ignore_end_of_text;
  if (!fields.ignore_end_of_text)
    request.stop_tokens.insert(request.stop_tokens.end(), config.stop_tokens.begin(),
                               config.stop_tokens.end());
  if (request.format.kind != FormatKind::kText) request.format.ends = request.stop_tokens;
  return request;
}

std::optional<double> Api::State::Admit(Exchange* exchange,
                                        const std::vector<GenerationRequest>& requests) {
  if (!exchange->tenant) return 0;
  int64_t prompt = 0, generated = 0;
  for (const GenerationRequest& request : requests) {
    prompt += static_cast<int64_t>(request.prompt.size());
    generated += request.max_tokens * request.choices;
  }
  RateLimits::Admission admission = rate_limits.Admit(*exchange->tenant, prompt, generated, Now());
  exchange->headers.insert(exchange->headers.end(), admission.headers.begin(),
                           admission.headers.end());
  if (admission.refused) {
    exchange->Refuse(*admission.refused);
    return std::nullopt;
  }
  return admission.charged_tokens;
}

std::function<void(const Usage&)> Api::State::Settler(const Exchange& exchange, double charged) {
  if (!exchange.tenant) return [](const Usage&) {};
  return [self = shared_from_this(), tenant = *exchange.tenant, charged](const Usage& usage) {
    self->rate_limits.Settle(tenant, charged, usage.prompt_tokens + usage.completion_tokens,
                             self->Now());
  };
}

void Api::State::Generate(Exchange exchange, const GenerationFields& wanted, const std::string& id,
                          ReplyMaker* format, GenerationPlan plan) {
  const std::optional<double> charged = Admit(&exchange, plan.requests);
  if (!charged) return;
  plan.format = format({id, Now().us / 1'000'000, wanted.model, wanted.sampling.top_logprobs >= 0,
                        wanted.include_usage, plan.tools != nullptr},
                       tokenizer);
  plan.stream = wanted.stream;
  plan.usage_chunk = wanted.include_usage;
  if (wanted.format.kind == FormatKind::kToolCalls) {
    plan.blamed_param = "tools";
  } else if (wanted.format.kind != FormatKind::kText) {
    plan.blamed_param = "response_format";
  }
  plan.headers = exchange.headers;
  plan.settled = Settler(exchange, *charged);
  const auto choices = static_cast<int64_t>(plan.requests.size()) * wanted.choices;
  plan.accepted = [self = shared_from_this(), id,
                   record = CompletionRecord{TenantName(exchange), wanted.model, choices}] {
    self->recent.Add(id, record);
  };
  std::make_shared<Generation>(engine, std::move(plan), exchange.responder)->Start();
}

void Api::State::Chat(Exchange exchange) {
  json body;
  ApiError error;
  if (!ParseBody(config.limits, exchange.request.body, &body, &error))
    return exchange.Refuse(error);
  BodyFields fields(body, "", exchange.request.body);
  ChatRequest chat_request = ReadChatRequest(config.limits, config.vocab_size, &fields);
  if (!fields.ok()) return exchange.Refuse(fields.error());
  GenerationFields& wanted = chat_request.fields;
  if (auto refused = CheckModel(exchange, wanted.model)) return exchange.Refuse(*refused);
  if (auto refused = CheckPriority(exchange, wanted.priority)) return exchange.Refuse(*refused);
  if (auto refused = CheckReady()) return exchange.Refuse(*refused);
  const std::shared_ptr<const ToolReading> reading = ReadingOf(chat_request.tools, &wanted.format);
  std::vector<TokenId> prompt;
  if (auto refused = EncodeChat(std::move(chat_request).Prompt(), &prompt))
    return exchange.Refuse(*refused);
  const int64_t room = config.context - static_cast<int64_t>(prompt.size());
  const int64_t max_tokens = std::max<int64_t>(1, wanted.max_tokens.value_or(room));
  if (auto refused = CheckLength("messages", prompt.size(), max_tokens))
    return exchange.Refuse(*refused);
  wanted.stop.insert(wanted.stop.end(), chat.stop().begin(), chat.stop().end());

  const std::string id = "chatcmpl-" + RandomName(24);
  GenerationPlan plan;
  plan.requests.push_back(RequestOf(exchange, wanted, id, std::move(prompt), max_tokens));
  plan.tools = reading;
  if (reading != nullptr) {
    for (const std::string_view marker : MarkerTokens(reading->format))
      if (const auto token = tokenizer->Special(marker)) plan.requests[0].shown.push_back(*token);
  }
  Generate(std::move(exchange), wanted, id, ChatReply, std::move(plan));
}

void Api::State::Completions(Exchange exchange) {
  json body;
  ApiError error;
  if (!ParseBody(config.limits, exchange.request.body, &body, &error))
    return exchange.Refuse(error);
  BodyFields fields(body, "", exchange.request.body);
  const CompletionRequest request =
      ReadCompletionRequest(config.limits, config.vocab_size, &fields);
  if (!fields.ok()) return exchange.Refuse(fields.error());
  const GenerationFields& wanted = request.fields;
  if (auto refused = CheckModel(exchange, wanted.model)) return exchange.Refuse(*refused);
  if (auto refused = CheckPriority(exchange, wanted.priority)) return exchange.Refuse(*refused);
  if (auto refused = CheckReady()) return exchange.Refuse(*refused);

  const std::string id = "cmpl-" + RandomName(24);
  GenerationPlan plan;
  plan.discard_generated = wanted.max_tokens == 0;
  // Of the prompt's logprobs alone the engine makes no token; else it makes one at least.
  const bool prompt_logprobs = request.echo && wanted.sampling.top_logprobs >= 0;
  const int64_t max_tokens = std::max<int64_t>(
      prompt_logprobs ? 0 : 1, wanted.max_tokens.value_or(kDefaultCompletionTokens));
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    std::vector<TokenId> prompt;
    if (auto refused = Encode("prompt", request.prompts[i], &prompt, request.begin))
      return exchange.Refuse(*refused);
    if (auto refused = CheckLength("prompt", prompt.size(), max_tokens))
      return exchange.Refuse(*refused);
    if (request.echo) {
      const auto* text = std::get_if<std::string>(&request.prompts[i]);
      plan.echo.push_back(text ? *text : AnswerText(*tokenizer, prompt));
    }
    plan.requests.push_back(RequestOf(exchange, wanted, i == 0 ? id : absl::StrCat(id, "-", i),
                                      std::move(prompt), max_tokens));
    plan.requests.back().prompt_logprobs = prompt_logprobs;
    if (wanted.seed) plan.requests.back().sampling.seed = *wanted.seed + i;
  }
  Generate(std::move(exchange), wanted, id, CompletionReply, std::move(plan));
}

void Api::State::Embeddings(Exchange exchange) {
  json body;
  ApiError error;
  if (!ParseBody(config.limits, exchange.request.body, &body, &error))
    return exchange.Refuse(error);
  BodyFields fields(body, "", exchange.request.body);
  const EmbeddingRequest request = ReadEmbeddingRequest(config.limits, config.vocab_size, &fields);
  if (!fields.ok()) return exchange.Refuse(fields.error());
  if (auto refused = CheckModel(exchange, request.model)) return exchange.Refuse(*refused);
  if (auto refused = CheckReady()) return exchange.Refuse(*refused);
  EmbeddingPlan plan;
  plan.model = request.model;
  plan.base64 = request.base64;
  const std::string id = "embd-" + RandomName(24);
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    std::vector<TokenId> prompt;
    if (auto refused = Encode("input", request.inputs[i], &prompt))
      return exchange.Refuse(*refused);
    if (auto refused = CheckLength("input", prompt.size(), 0)) return exchange.Refuse(*refused);
    plan.requests.push_back(
        RequestOf(exchange, {}, absl::StrCat(id, "-", i), std::move(prompt), 0));
    plan.requests.back().embedding = true;
  }
  const std::optional<double> charged = Admit(&exchange, plan.requests);
  if (!charged) return;
  plan.headers = exchange.headers;
  plan.settled = Settler(exchange, *charged);
  std::make_shared<EmbeddingAnswer>(engine, std::move(plan), exchange.responder)->Start();
}

}  // namespace longrun::serving
