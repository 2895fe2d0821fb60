// OpenAI's HTTP API over an engine: what a net::Server calls for each request.
//
// Any of the server's threads may call Handle; it does not block. The engine, the tokenizer and the
// feedback store outlive it; it outlives the server. Prompts and answers are never logged.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "model/tokenizer.h"
#include "net/http_server.h"
#include "serving/engine/engine.h"
#include "serving/openai/feedback_store.h"
#include "serving/openai/metrics_page.h"
#include "serving/openai/request_limits.h"
#include "serving/openai/tenants.h"
#include "serving/openai/tool_format.h"
#include "serving/prompt/chat_template.h"

namespace longrun::serving {

struct ApiConfig {
  std::vector<std::string> models;    // names it answers to, at least one; the first is reported
  int64_t context = 0;                // tokens of the longest sequence
  int64_t vocab_size = 0;             // of the model; 0: the tokenizer's
  std::vector<TokenId> begin_tokens;  // put before the text of completions (<s>); chats have theirs
  std::vector<TokenId> stop_tokens;   // end an answer, beside the tokenizer's end of text
  std::vector<Tenant> tenants;        // empty: nobody needs a key
  RequestLimits limits;
  std::optional<ToolFormat> tool_format;  // of calls in answers; nothing: as the template asks
  double stalled_seconds = 30;            // without progress while there is work: unhealthy
  std::string version = "0.1.0";
  PeakRates peak;
  std::function<int64_t()> http_connections;  // of the server; may be empty
  std::function<Time()> now;                  // empty: the wall clock
};

class Api {
 public:
  // `feedback` may be null: then there is no /v1/feedback.
  Api(ApiConfig config, Engine* engine, const model::Tokenizer* tokenizer, ChatTemplate chat,
      FeedbackStore* feedback);
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  void Handle(net::Request request, std::shared_ptr<net::Responder> responder);
  net::Handler AsHandler() {
    return [this](net::Request request, std::shared_ptr<net::Responder> responder) {
      Handle(std::move(request), std::move(responder));
    };
  }
  // Refuses by a request's head what Handle would refuse for it: an unknown key or endpoint; else
  // its party is the tenant.
  net::HeadVerdict Check(const net::Request& head) const;
  net::HeadCheck AsHeadCheck() const {
    return [this](const net::Request& head) { return Check(head); };
  }

  // Of a text that fits the context, were each of its tokens the longest there is.
  static int64_t LongestTextBytes(int64_t context, const model::Tokenizer& tokenizer);

  // Asks the engine for one token: /health is 503 until it has come.
  void StartCanary();
  // From now on requests for text are refused with 503, and /health says so.
  void StartDraining();

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace longrun::serving
