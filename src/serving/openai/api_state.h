// What the endpoints share, and one HTTP request as they see it. Used by Api's own files.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "serving/openai/api.h"
#include "serving/openai/api_error.h"
#include "serving/openai/generation.h"
#include "serving/openai/rate_limits.h"
#include "serving/openai/recent_completions.h"
#include "serving/openai/requests.h"
#include "serving/prompt/prompt_encoder.h"

namespace longrun::serving {

// Who asks, and how to answer.
struct Exchange {
  net::Request request;
  std::shared_ptr<net::Responder> responder;
  std::optional<size_t> tenant;  // index; nothing where nobody needs a key
  net::Headers headers;          // of every answer: x-request-id …

  void Send(net::Response response) const;
  void Refuse(const ApiError& error) const { Send(ToResponse(error)); }
  void SendJson(const nlohmann::json& body) const;
};

struct Api::State : std::enable_shared_from_this<Api::State> {
  State(ApiConfig config, Engine* engine, const model::Tokenizer* tokenizer, ChatTemplate chat,
        FeedbackStore* feedback);

  void Route(Exchange exchange);
  // Where a request goes and who asks, by its head alone; or why it goes nowhere.
  struct Endpoint;
  struct Destination {
    const Endpoint* endpoint = nullptr;
    std::optional<size_t> tenant;
    std::optional<net::Response> refused;
  };
  Destination DestinationOf(const net::Request& head) const;
  // By the key; or by the name that this found when the head was checked.
  void Authenticate(const net::Request& head, Destination* to) const;

  void Models(const Exchange& exchange);
  void Chat(Exchange exchange);
  void Completions(Exchange exchange);
  void Embeddings(Exchange exchange);
  void Tokenize(Exchange exchange);
  void Detokenize(Exchange exchange);
  void Feedback(Exchange exchange);
  void Health(const Exchange& exchange);
  void Metrics(const Exchange& exchange);
  void Version(const Exchange& exchange);
  void StartCanary();

  std::string TenantName(const Exchange& exchange) const;
  // Nothing: the tenant may use that model.
  std::optional<ApiError> CheckModel(const Exchange& exchange, const std::string& model) const;
  std::optional<ApiError> CheckReady() const;
  std::optional<ApiError> CheckPriority(const Exchange& exchange, int32_t priority) const;
  // Nothing: the prompt fits. `max_tokens`: those asked for.
  std::optional<ApiError> CheckLength(const std::string& param, size_t prompt_tokens,
                                      int64_t max_tokens) const;
  // Nothing: its tokens are in `tokens`. Text that no sequence has room for is not encoded, which
  // would take long. `begin`: the model's own beginning stands before it.
  std::optional<ApiError> Encode(const std::string& param, const Prompt& prompt,
                                 std::vector<TokenId>* tokens, bool begin = true);
  std::optional<ApiError> EncodeChat(ChatPrompt prompt, std::vector<TokenId>* tokens);
  // Nothing: the chat's template has a place for its tools, their calls and results.
  std::optional<ApiError> CheckTools(const ChatPrompt& prompt) const;
  // What is looked for in the answer; null where no calls are. Where one must come, or the text
  // must be JSON, the text's format is set.
  std::shared_ptr<const ToolReading> ReadingOf(const ToolFields& tools, Format* format) const;
  std::optional<ApiError> CheckTextBytes(const std::string& param, size_t bytes) const;
  // The engine's form of one prompt.
  GenerationRequest RequestOf(const Exchange& exchange, const GenerationFields& fields,
                              const std::string& id, std::vector<TokenId> prompt,
                              int64_t max_tokens) const;
  // Charges the tenant, one request and the tokens of `requests`; nothing, having answered 429,
  // where it is over its limit.
  std::optional<double> Admit(Exchange* exchange, const std::vector<GenerationRequest>& requests);
  std::function<void(const Usage&)> Settler(const Exchange& exchange, double charged);
  // What chat and completions end in: charged, remembered for feedback, started.
  void Generate(Exchange exchange, const GenerationFields& wanted, const std::string& id,
                ReplyMaker* format, GenerationPlan plan);
  Time Now();
  Utilisation RecentUtilisation(const EngineStats& stats);

  // Before the members that are made with the time.
  std::mutex clock_mutex;
  WallClock wall_clock;

  const ApiConfig config;
  Engine* const engine;
  const model::Tokenizer* const tokenizer;
  const int64_t longest_text_bytes;  // that fits the context, were each token the longest there is
  const ChatTemplate chat;
  const ToolFormat tool_format;
  FeedbackStore* const feedback;
  PromptEncoder encoder;
  RateLimits rate_limits;
  RecentCompletions recent;
  Time started;

  std::atomic<bool> draining{false};
  enum class Canary { kNone, kRunning, kPassed, kFailed };
  std::atomic<Canary> canary{Canary::kNone};

  std::mutex samples_mutex;
  std::deque<std::pair<Time, EngineStats>> samples;  // of the last seconds, for utilisation
};

}  // namespace longrun::serving
