// An Api over an engine that a test drives by hand: nothing is answered until the test says so.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "model/tokenizer.h"
#include "serving/openai/api.h"

namespace longrun::serving {

class FakeEngine : public Engine {
 public:
  struct Submission {
    GenerationRequest request;
    OnDelta on_delta;
  };

  absl::Status Submit(GenerationRequest request, OnDelta on_delta) override {
    if (refuse) {
      const absl::Status refused = refuse(request);
      if (!refused.ok()) return refused;
    }
    submitted.push_back({std::move(request), std::move(on_delta)});
    if (at_once) at_once(submitted.size() - 1);
    return absl::OkStatus();
  }
  void Cancel(const std::string& id) override { cancelled.push_back(id); }
  EngineStats Stats() const override { return stats; }
  void Drain(Duration) override {}

  void Send(size_t i, Delta delta) {
    // A copy: what is called may submit more.
    const OnDelta on_delta = submitted[i].on_delta;
    on_delta(submitted[i].request.id, std::move(delta));
  }
  // Text with one token a byte; logprob -1 each and two likely ones where asked for.
  void Say(size_t i, const std::string& text, int64_t choice = 0,
           FinishReason finish = FinishReason::kNone) {
    Send(i, Text(i, text, choice, finish));
  }
  // The same, the last of the request: the prompt's length and `generated` tokens are its usage.
  void End(size_t i, const std::string& text, int64_t generated, int64_t choice = 0,
           FinishReason finish = FinishReason::kStop) {
    Delta delta = Text(i, text, choice, finish);
    delta.last = true;
    delta.usage = {.prompt_tokens = static_cast<int64_t>(submitted[i].request.prompt.size()),
                   .cached_tokens = 2,
                   .completion_tokens = generated};
    Send(i, std::move(delta));
  }
  Delta Text(size_t i, const std::string& text, int64_t choice, FinishReason finish) const {
    const auto tokenizer = model::Tokenizer::Bytes();
    Delta delta{.choice = choice, .text = text, .tokens = tokenizer.Encode(text), .finish = finish};
    const int64_t top = submitted[i].request.sampling.top_logprobs;
    for (const TokenId token : delta.tokens) {
      if (top < 0) break;
      delta.logprobs.push_back({.chosen = {token, -1}});
      for (int64_t k = 0; k < top; ++k)
        delta.logprobs.back().top.push_back({static_cast<TokenId>(k), -2.0f - k});
    }
    return delta;
  }

  std::vector<Submission> submitted;
  std::vector<std::string> cancelled;
  EngineStats stats;
  std::function<absl::Status(const GenerationRequest&)> refuse;
  std::function<void(size_t)> at_once;  // before Submit returns
};

class FakeResponder : public net::Responder {
 public:
  void Send(net::Response response) override {
    EXPECT_FALSE(complete || begun) << "answered twice";
    answer = std::move(response);
    complete = true;
  }
  void Begin(net::Response head) override {
    EXPECT_FALSE(complete || begun) << "answered twice";
    answer = std::move(head);
    begun = true;
  }
  bool Write(std::string chunk) override {
    EXPECT_TRUE(begun && !complete);
    if (gone) return false;
    answer.body += chunk;
    return true;
  }
  void End() override {
    EXPECT_TRUE(begun && !complete);
    complete = true;
  }
  bool Hold(int64_t bytes) override {
    held_bytes = bytes;
    return bytes <= most_bytes;
  }
  void OnClosed(std::function<void()> on_closed) override {
    if (complete) return;
    if (gone) return on_closed();
    closed = std::move(on_closed);
  }

  // The client goes away.
  void Leave() {
    gone = true;
    if (!complete && closed) std::exchange(closed, nullptr)();
  }
  int status() const { return complete || begun ? answer.status : 0; }
  std::string Header(const std::string& name) const {
    for (const auto& [key, value] : answer.headers)
      if (key == name) return value;
    return "";
  }
  nlohmann::json Json() const { return nlohmann::json::parse(answer.body, nullptr, false); }
  nlohmann::json Error() const {
    const nlohmann::json body = Json();
    return body.is_object() && body.contains("error") ? body["error"] : nlohmann::json();
  }
  // Of a stream: each event's data.
  std::vector<std::string> Events() const {
    std::vector<std::string> events;
    for (size_t at = 0; at < answer.body.size();) {
      const size_t end = answer.body.find("\n\n", at);
      std::string event = answer.body.substr(at, end - at);
      EXPECT_NE(end, std::string::npos) << "an event without its end: " << event;
      const size_t data = event.find("data: ");
      EXPECT_NE(data, std::string::npos) << event;
      events.push_back(event.substr(data + 6));
      if (end == std::string::npos) break;
      at = end + 2;
    }
    return events;
  }
  nlohmann::json Event(size_t i) const {
    const std::vector<std::string> events = Events();
    return i < events.size() ? nlohmann::json::parse(events[i], nullptr, false) : nlohmann::json();
  }

  net::Response answer;
  bool begun = false, complete = false, gone = false;
  int64_t held_bytes = 0, most_bytes = int64_t{1} << 40;
  std::function<void()> closed;
};

class ApiTest : public testing::Test {
 protected:
  using json = nlohmann::json;

  ApiTest() : tokenizer_(model::Tokenizer::Bytes({"<|endoftext|>", "<|im_start|>", "<|im_end|>"})) {
    config_.models = {"gpt2"};
    config_.context = 100;
    config_.now = [this] { return now_; };
  }
  // The Api is made with the first request: what a test sets in config_ before counts.
  Api& api() {
    if (!api_) {
      auto chat = ChatTemplate::BuiltIn(template_, {});
      EXPECT_TRUE(chat.ok());
      api_ = std::make_unique<Api>(config_, &engine_, &tokenizer_, *std::move(chat), feedback_);
    }
    return *api_;
  }
  // With what config_ and feedback_ are now.
  void RestartApi() { api_.reset(); }
  void SetTenants(const std::string& yaml) {
    auto tenants = ParseTenants(yaml, "tenants.yaml");
    ASSERT_TRUE(tenants.ok()) << tenants.status();
    config_.tenants = *std::move(tenants);
  }
  std::shared_ptr<FakeResponder> Ask(const std::string& method, const std::string& path,
                                     const std::string& body = "", const std::string& key = "",
                                     net::Headers headers = {}) {
    auto responder = std::make_shared<FakeResponder>();
    responder->most_bytes = most_bytes_;
    if (!key.empty()) headers.emplace_back("Authorization", "Bearer " + key);
    api().Handle({.method = method, .target = path, .path = path, .headers = headers, .body = body},
                 responder);
    return responder;
  }
  std::shared_ptr<FakeResponder> Post(const std::string& path, const json& body,
                                      const std::string& key = "") {
    return Ask("POST", path, body.dump(), key);
  }
  std::shared_ptr<FakeResponder> Get(const std::string& path, const std::string& key = "") {
    return Ask("GET", path, "", key);
  }
  // A chat with one message; `more` is merged into its body.
  std::shared_ptr<FakeResponder> Chat(const json& more = {}, const std::string& key = "") {
    json body = {{"model", "gpt2"}, {"messages", {{{"role", "user"}, {"content", "hi"}}}}};
    if (more.is_object()) body.update(more);
    return Post("/v1/chat/completions", body, key);
  }
  std::shared_ptr<FakeResponder> Complete(const json& more = {}, const std::string& key = "") {
    json body = {{"model", "gpt2"}, {"prompt", "Hello"}};
    if (more.is_object()) body.update(more);
    return Post("/v1/completions", body, key);
  }
  std::string PromptText(size_t i) const {
    const auto text = tokenizer_.Decode(engine_.submitted[i].request.prompt);
    return text.ok() ? *text : "";
  }
  const GenerationRequest& Request(size_t i) const { return engine_.submitted[i].request; }

  const model::Tokenizer tokenizer_;
  FakeEngine engine_;
  ApiConfig config_;
  FeedbackStore* feedback_ = nullptr;
  std::string template_ = "chatml";
  int64_t most_bytes_ = int64_t{1} << 40;  // that a responder lets be held
  Time now_{1'700'000'000'000'000};

 private:
  std::unique_ptr<Api> api_;
};

// What OpenAI's clients look at: {"error": {message, type, param, code}}, the message never empty.
#define EXPECT_REFUSED(RESPONDER, STATUS, TYPE, PARAM, CODE)                         \
  do {                                                                               \
    const auto& refused_ = (RESPONDER);                                              \
    EXPECT_EQ(refused_->status(), STATUS) << refused_->answer.body;                  \
    const nlohmann::json error_ = refused_->Error();                                 \
    ASSERT_TRUE(error_.is_object()) << refused_->answer.body;                        \
    EXPECT_EQ(error_.size(), 4u) << error_;                                          \
    EXPECT_EQ(error_["type"], TYPE) << error_;                                       \
    EXPECT_EQ(error_["param"], nlohmann::json(PARAM)) << error_;                     \
    EXPECT_EQ(error_["code"], CODE) << error_;                                       \
    EXPECT_TRUE(error_["message"].is_string() && error_["message"] != "") << error_; \
    EXPECT_FALSE(refused_->Header("x-request-id").empty());                          \
  } while (false)

}  // namespace longrun::serving
