#include "serving/openai/api.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/log.h"
#include "serving/openai/api_state.h"

namespace longrun::serving {
namespace {

using nlohmann::json;

// A client's own request id is kept where it is short and plain.
bool IsSane(std::string_view id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  });
}

std::pair<std::string, std::string> RequestId(const net::Request& head) {
  const std::string_view given = head.Header("x-request-id");
  return {"x-request-id", IsSane(given) ? std::string(given) : "req_" + RandomName(24)};
}

ApiConfig Completed(ApiConfig config, const model::Tokenizer& tokenizer, const ChatTemplate& chat) {
  LR_CHECK(!config.models.empty());
  LR_CHECK_GT(config.context, 0);
  if (config.vocab_size == 0) config.vocab_size = tokenizer.vocab_size();
  const auto eos = tokenizer.Special(chat.eos_token());
  if (!chat.eos_token().empty() && eos) config.stop_tokens.push_back(*eos);
  return config;
}

}  // namespace

void Exchange::Send(net::Response response) const {
  response.headers.insert(response.headers.end(), headers.begin(), headers.end());
  responder->Send(std::move(response));
}

void Exchange::SendJson(const json& body) const {
  net::Response response;
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  Send(std::move(response));
}

Api::State::State(ApiConfig given, Engine* engine_in, const model::Tokenizer* tokenizer_in,
                  ChatTemplate chat_in, FeedbackStore* feedback_in)
    : config(Completed(std::move(given), *tokenizer_in, chat_in)),
      engine(engine_in),
      tokenizer(tokenizer_in),
      longest_text_bytes(LongestTextBytes(config.context, *tokenizer_in)),
      chat(std::move(chat_in)),
      tool_format(config.tool_format ? *config.tool_format : ToolFormatOf(chat.tool_source())),
      feedback(feedback_in),
      encoder(tokenizer_in),
      rate_limits(config.tenants, Now()),
      started(Now()) {}

Time Api::State::Now() {
  if (config.now) return config.now();
  const std::lock_guard lock(clock_mutex);
  return wall_clock.Now();
}

struct Api::State::Endpoint {
  std::string_view method, path;
  bool needs_key;
  void (*handle)(State*, Exchange);
};

void Api::State::Authenticate(const net::Request& head, Destination* to) const {
  if (config.tenants.empty()) return;
  if (head.party) {
    to->tenant = TenantNamed(config.tenants, *head.party);
    if (to->tenant) return;
  }
  constexpr std::string_view kBearer = "Bearer ";
  std::string_view given = head.Header("Authorization");
  const bool absent = given.empty();
  if (given.size() > kBearer.size() &&
      std::equal(kBearer.begin(), kBearer.end(), given.begin(),
                 [](char a, char b) { return (a | 32) == (b | 32); })) {
    given.remove_prefix(kBearer.size());
    to->tenant = FindTenant(config.tenants, given);
    if (to->tenant) return;
  }
  to->refused = ToResponse({.status = 401,
                            .message = absent ? "You didn't provide an API key. Send it in the "
                                                "header Authorization: Bearer YOUR_KEY."
                                              : "Incorrect API key provided.",
                            .code = "invalid_api_key"});
  to->refused->headers.emplace_back("WWW-Authenticate", "Bearer");
}

Api::State::Destination Api::State::DestinationOf(const net::Request& head) const {
  static constexpr std::string_view kModels = "/v1/models";
  using E = Exchange;
  static const Endpoint endpoints[] = {
      {"POST", "/v1/chat/completions", true, [](State* s, E e) { s->Chat(std::move(e)); }},
      {"POST", "/v1/completions", true, [](State* s, E e) { s->Completions(std::move(e)); }},
      {"POST", "/v1/embeddings", true, [](State* s, E e) { s->Embeddings(std::move(e)); }},
      {"POST", "/v1/feedback", true, [](State* s, E e) { s->Feedback(std::move(e)); }},
      {"POST", "/tokenize", true, [](State* s, E e) { s->Tokenize(std::move(e)); }},
      {"POST", "/detokenize", true, [](State* s, E e) { s->Detokenize(std::move(e)); }},
      {"GET", kModels, true, [](State* s, E e) { s->Models(e); }},
      {"GET", "/health", false, [](State* s, E e) { s->Health(e); }},
      {"GET", "/metrics", false, [](State* s, E e) { s->Metrics(e); }},
      {"GET", "/version", false, [](State* s, E e) { s->Version(e); }},
  };
  Destination to;
  const std::string method = head.method == "HEAD" ? "GET" : head.method;
  const bool one_model = head.path.starts_with(std::string(kModels) + "/");
  for (const Endpoint& endpoint : endpoints) {
    if (head.path != endpoint.path && !(one_model && endpoint.path == kModels)) continue;
    if (method != endpoint.method) {
      to.refused = ToResponse(
          {.status = 405,
           .message = absl::StrCat("Not allowed to ", head.method, " on ", head.path, "."),
           .code = "method_not_allowed"});
      to.refused->headers.emplace_back("Allow", endpoint.method);
      return to;
    }
    to.endpoint = &endpoint;
    if (endpoint.needs_key) Authenticate(head, &to);
    return to;
  }
  to.refused = ToResponse({.status = 404,
                           .message = absl::StrCat("Unknown request URL: ", head.method, " ",
                                                   head.path.substr(0, 200), "."),
                           .code = "unknown_url"});
  return to;
}

void Api::State::Route(Exchange exchange) {
  Destination to = DestinationOf(exchange.request);
  if (to.refused) return exchange.Send(*std::move(to.refused));
  exchange.tenant = to.tenant;
  to.endpoint->handle(this, std::move(exchange));
}

Api::Api(ApiConfig config, Engine* engine, const model::Tokenizer* tokenizer, ChatTemplate chat,
         FeedbackStore* feedback)
    : state_(std::make_shared<State>(std::move(config), engine, tokenizer, std::move(chat),
                                     feedback)) {}

Api::~Api() = default;

int64_t Api::LongestTextBytes(int64_t context, const model::Tokenizer& tokenizer) {
  size_t longest = 0;
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id)
    longest = std::max(longest, tokenizer.TokenBytes(id).size());
  return context * static_cast<int64_t>(longest);
}

net::HeadVerdict Api::Check(const net::Request& head) const {
  State::Destination to = state_->DestinationOf(head);
  if (to.refused) {
    to.refused->headers.push_back(RequestId(head));
    return {.refused = std::move(to.refused)};
  }
  return {.party = to.tenant ? state_->config.tenants[*to.tenant].name : ""};
}

void Api::Handle(net::Request request, std::shared_ptr<net::Responder> responder) {
  Exchange exchange;
  exchange.headers.push_back(RequestId(request));
  exchange.request = std::move(request);
  exchange.responder = responder;
  const net::Headers headers = exchange.headers;
  try {
    state_->Route(std::move(exchange));
  } catch (const std::exception& e) {  // of a library, or no memory: one request's affair
    log::error("a request failed: {}", e.what());
    net::Response response = ToResponse(FromStatus(absl::InternalError("")));
    response.headers = headers;
    responder->Send(std::move(response));
  }
}

void Api::StartCanary() { state_->StartCanary(); }
void Api::StartDraining() { state_->draining = true; }

}  // namespace longrun::serving
