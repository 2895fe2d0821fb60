// Who may ask what, health, and the endpoints that generate nothing.
#include "serving/openai/api.h"

#include <filesystem>
#include <future>
#include <string>
#include <vector>

#include "serving/openai/api_for_tests.h"

namespace longrun::serving {
namespace {

constexpr char kTwoTenants[] = R"(
tenants:
  - name: red
    keys: [red-secret]
    requests_per_minute: 3
    tokens_per_minute: 60
  - name: blue
    keys: [blue-secret]
    max_priority: 5
    models: [other]
  - name: green
    keys: [green-secret]
)";

TEST_F(ApiTest, UnknownUrlsAndMethods) {
  EXPECT_REFUSED(Get("/v2/models"), 404, "invalid_request_error", nullptr, "unknown_url");
  const auto wrong = Get("/v1/chat/completions");
  EXPECT_REFUSED(wrong, 405, "invalid_request_error", nullptr, "method_not_allowed");
  EXPECT_EQ(wrong->Header("Allow"), "POST");
  EXPECT_EQ(Ask("HEAD", "/version")->status(), 200);
  EXPECT_EQ(Get("/version")->Json()["version"], "0.1.0");
}

TEST_F(ApiTest, EveryAnswerHasARequestId) {
  EXPECT_EQ(Ask("GET", "/version", "", "", {{"x-request-id", "mine-1"}})->Header("x-request-id"),
            "mine-1");
  const std::string made =
      Ask("GET", "/version", "", "", {{"x-request-id", "a\r\nb"}})->Header("x-request-id");
  EXPECT_TRUE(made.starts_with("req_")) << made;
}

TEST_F(ApiTest, MalformedBodiesAreRefusedByEveryEndpoint) {
  for (const char* path :
       {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize", "/detokenize"}) {
    SCOPED_TRACE(path);
    EXPECT_REFUSED(Ask("POST", path, "{\"model\": "), 400, "invalid_request_error", nullptr,
                   "invalid_json");
    EXPECT_REFUSED(Ask("POST", path, "[]"), 400, "invalid_request_error", nullptr, "invalid_type");
    EXPECT_REFUSED(Ask("POST", path, "{\"model\": \"\xC0\x80\"}"), 400, "invalid_request_error",
                   nullptr, "invalid_utf8");
  }
  EXPECT_REFUSED(Chat({{"n", "two"}}), 400, "invalid_request_error", "n", "invalid_type");
  EXPECT_REFUSED(Chat({{"n", 1'000'000}}), 400, "invalid_request_error", "n",
                 "integer_above_max_value");
  EXPECT_TRUE(engine_.submitted.empty());
}

TEST_F(ApiTest, ListsModels) {
  const json list = Get("/v1/models")->Json();
  EXPECT_EQ(list["object"], "list");
  EXPECT_EQ(list["data"], json::array({{{"id", "gpt2"},
                                        {"object", "model"},
                                        {"created", 1'700'000'000},
                                        {"owned_by", "longrun"},
                                        {"max_model_len", 100}}}));
  EXPECT_EQ(Get("/v1/models/gpt2")->Json(), list["data"][0]);
  EXPECT_REFUSED(Get("/v1/models/gpt3"), 404, "invalid_request_error", "model", "model_not_found");
  EXPECT_REFUSED(Chat({{"model", "gpt3"}}), 404, "invalid_request_error", "model",
                 "model_not_found");
  EXPECT_REFUSED(Complete({{"model", "gpt3"}}), 404, "invalid_request_error", "model",
                 "model_not_found");
  EXPECT_REFUSED(Post("/v1/embeddings", {{"model", "gpt3"}, {"input", "a"}}), 404,
                 "invalid_request_error", "model", "model_not_found");
}

TEST_F(ApiTest, NobodyGetsInWithoutAKey) {
  SetTenants(kTwoTenants);
  const auto none = Chat();
  EXPECT_REFUSED(none, 401, "invalid_request_error", nullptr, "invalid_api_key");
  EXPECT_EQ(none->Header("WWW-Authenticate"), "Bearer");
  EXPECT_REFUSED(Chat({}, "red-secre"), 401, "invalid_request_error", nullptr, "invalid_api_key");
  EXPECT_REFUSED(Chat({}, "red-secret2"), 401, "invalid_request_error", nullptr, "invalid_api_key");
  EXPECT_REFUSED(Ask("GET", "/v1/models", "", "", {{"Authorization", "red-secret"}}), 401,
                 "invalid_request_error", nullptr, "invalid_api_key");
  for (const char* path :
       {"/v1/completions", "/v1/embeddings", "/v1/feedback", "/tokenize", "/detokenize"})
    EXPECT_EQ(Ask("POST", path, "{}")->status(), 401) << path;
  EXPECT_EQ(Get("/v1/models")->status(), 401);
  EXPECT_TRUE(engine_.submitted.empty());
  EXPECT_EQ(Get("/metrics")->status(), 200);  // of the operator's network
  EXPECT_EQ(Get("/v1/models", "red-secret")->status(), 200);
}

TEST_F(ApiTest, TheHeadAloneTellsWhoAsksAndWhoIsRefused) {
  SetTenants(kTwoTenants);
  const auto check = [&](const std::string& method, const std::string& path,
                         const std::string& key) {
    const net::HeadVerdict verdict = api().Check(
        {.method = method, .path = path, .headers = {{"authorization", "Bearer " + key}}});
    return verdict.refused ? std::to_string(verdict.refused->status) : verdict.party;
  };
  EXPECT_EQ(check("POST", "/v1/completions", "wrong"), "401");
  EXPECT_EQ(check("POST", "/v1/completions", "red-secret"), "red");
  EXPECT_EQ(check("POST", "/v1/completions", "blue-secret"), "blue");
  EXPECT_EQ(check("GET", "/v1/completions", "red-secret"), "405");
  EXPECT_EQ(check("POST", "/nowhere", "red-secret"), "404");
  EXPECT_EQ(check("GET", "/health", "wrong"), "");
  const net::HeadVerdict verdict = api().Check({.method = "POST", .path = "/v1/completions"});
  ASSERT_TRUE(verdict.refused.has_value());
  EXPECT_EQ(verdict.refused->headers.back().first, "x-request-id");
}

// What the check of the head found is not looked for again; nothing it found is no key.
TEST_F(ApiTest, WhoeverWasFoundByTheHeadIsNotAskedForTheKeyAgain) {
  SetTenants(kTwoTenants);
  const auto status = [&](const std::optional<std::string>& party) {
    auto responder = std::make_shared<FakeResponder>();
    api().Handle({.method = "GET", .path = "/v1/models", .party = party}, responder);
    return responder->status();
  };
  EXPECT_EQ(status("red"), 200);
  EXPECT_EQ(status("nobody"), 401);
  EXPECT_EQ(status(""), 401);
  EXPECT_EQ(status(std::nullopt), 401);
}

TEST_F(ApiTest, TenantsUseTheModelsAndPrioritiesThatAreTheirs) {
  config_.models = {"gpt2", "other"};
  SetTenants(kTwoTenants);
  EXPECT_REFUSED(Chat({}, "blue-secret"), 403, "permission_error", "model", "model_not_allowed");
  EXPECT_REFUSED(Get("/v1/models/gpt2", "blue-secret"), 403, "permission_error", "model",
                 "model_not_allowed");
  EXPECT_EQ(Get("/v1/models", "blue-secret")->Json()["data"].size(), 1u);
  EXPECT_EQ(Get("/v1/models", "green-secret")->Json()["data"].size(), 2u);
  EXPECT_REFUSED(Chat({{"model", "other"}, {"priority", 6}}, "blue-secret"), 403,
                 "permission_error", "priority", "priority_not_allowed");
  EXPECT_TRUE(engine_.submitted.empty());
  Chat({{"model", "other"}, {"priority", 5}}, "blue-secret");
  ASSERT_EQ(engine_.submitted.size(), 1u);
  EXPECT_EQ(Request(0).priority, 5);
}

// What salts the prefix cache is who was authenticated, whatever the body says.
TEST_F(ApiTest, TheTenantComesFromTheKeyAlone) {
  SetTenants(kTwoTenants);
  const json lies = {{"tenant", "red"},           {"user", "red"}, {"cache_salt", "red"},
                     {"prompt_cache_key", "red"}, {"name", "red"}, {"id", "red"}};
  Chat(lies, "green-secret");
  Complete(lies, "green-secret");
  Post("/v1/embeddings",
       {{"model", "gpt2"}, {"input", "a"}, {"tenant", "red"}, {"cache_salt", "red"}},
       "green-secret");
  ASSERT_EQ(engine_.submitted.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(Request(i).tenant, "green");
    EXPECT_NE(Request(i).id, "red");
  }
}

TEST_F(ApiTest, LimitsRequestsAMinute) {
  SetTenants(kTwoTenants);
  for (int i = 0; i < 3; ++i) {
    const auto taken = Complete({{"max_tokens", 1}}, "red-secret");
    ASSERT_EQ(engine_.submitted.size(), static_cast<size_t>(i) + 1);
    engine_.End(static_cast<size_t>(i), "x", 1);
    EXPECT_EQ(taken->Header("x-ratelimit-remaining-requests"), std::to_string(2 - i));
  }
  const auto refused = Complete({{"max_tokens", 1}}, "red-secret");
  EXPECT_REFUSED(refused, 429, "requests", nullptr, "rate_limit_exceeded");
  EXPECT_EQ(refused->Header("Retry-After"), "20");
  EXPECT_EQ(refused->Header("retry-after-ms"), "20000");
  EXPECT_EQ(engine_.submitted.size(), 3u);
  EXPECT_NE(
      Get("/metrics")
          ->answer.body.find(
              "longrun:requests_rejected_total{model_name=\"gpt2\",reason=\"rate_limit\"} 1\n"),
      std::string::npos);
  Complete({}, "green-secret");  // others are not held up
  EXPECT_EQ(engine_.submitted.size(), 4u);
  now_ = now_ + Duration::Seconds(20);
  Complete({{"max_tokens", 1}}, "red-secret");
  EXPECT_EQ(engine_.submitted.size(), 5u);
}

TEST_F(ApiTest, LimitsTokensByWhatWasReallyUsed) {
  SetTenants(kTwoTenants);
  Complete({{"max_tokens", 50}}, "red-secret");  // 5 + 50 of 60 while it runs
  const auto second = Complete({{"max_tokens", 5}}, "red-secret");
  EXPECT_REFUSED(second, 429, "tokens", nullptr, "rate_limit_exceeded");
  EXPECT_EQ(second->Header("retry-after-ms"), "5000");
  engine_.End(0, "x", 1);  // used 6 of the 55
  const auto third = Complete({{"max_tokens", 40}}, "red-secret");
  ASSERT_EQ(engine_.submitted.size(), 2u);
  // 60 - 6 - 45 are left; a client that leaves pays what was made for it until then.
  third->Leave();
  engine_.End(1, "", 12, 0, FinishReason::kCancelled);
  const auto fourth = Complete({{"max_tokens", 32}}, "red-secret");  // 60 - 6 - 17 = 37
  EXPECT_EQ(fourth->status(), 0);
  engine_.End(2, "x", 32);
  EXPECT_EQ(fourth->status(), 200);
}

TEST_F(ApiTest, WhatTheEngineRefusesCostsNoTokens) {
  SetTenants(kTwoTenants);
  engine_.refuse = [](const GenerationRequest&) { return absl::ResourceExhaustedError("full"); };
  EXPECT_EQ(Complete({{"max_tokens", 50}}, "red-secret")->status(), 429);
  engine_.refuse = nullptr;
  EXPECT_EQ(Complete({{"max_tokens", 50}}, "red-secret")->status(), 0);
  EXPECT_EQ(engine_.submitted.size(), 1u);
}

TEST_F(ApiTest, APromptOverTheMinutesTokensIsNotToBeTriedAgain) {
  SetTenants(kTwoTenants);
  const auto answer = Complete({{"prompt", std::string(61, 'x')}, {"max_tokens", 1}}, "red-secret");
  EXPECT_REFUSED(answer, 429, "tokens", nullptr, "rate_limit_exceeded");
  EXPECT_EQ(answer->Header("x-should-retry"), "false");
}

TEST_F(ApiTest, IsHealthyOnceATokenWasMade) {
  const auto expect = [&](int status, const std::string& reason) {
    const auto health = Get("/health");
    EXPECT_EQ(health->status(), status);
    if (status != 200) {
      EXPECT_NE(health->Json()["reason"].get<std::string>().find(reason), std::string::npos);
      EXPECT_NE(health->Error()["message"], "");
    }
  };
  expect(503, "starting");
  api().StartCanary();
  ASSERT_EQ(engine_.submitted.size(), 1u);
  EXPECT_EQ(Request(0).max_tokens, 1);
  api().StartCanary();  // one at a time
  EXPECT_EQ(engine_.submitted.size(), 1u);
  expect(503, "starting");
  engine_.End(0, "x", 1, 0, FinishReason::kLength);
  expect(200, "");
  engine_.stats.stalled_seconds = 29.9;
  expect(200, "");
  engine_.stats.stalled_seconds = 30;
  expect(503, "no progress for 30 s");
  engine_.stats.stalled_seconds = 0;
  expect(200, "");
  api().StartDraining();
  expect(503, "stopping");
}

TEST_F(ApiTest, AFailedSelfTestIsTriedAgain) {
  engine_.refuse = [](const GenerationRequest&) { return absl::ResourceExhaustedError("full"); };
  api().StartCanary();
  EXPECT_EQ(Get("/health")->status(), 503);
  engine_.refuse = nullptr;
  EXPECT_EQ(Get("/health")->status(), 503);
  ASSERT_EQ(engine_.submitted.size(), 1u);
  engine_.Send(0,
               {.finish = FinishReason::kError, .error = absl::InternalError("NaN"), .last = true});
  EXPECT_EQ(Get("/health")->status(), 503);
  ASSERT_EQ(engine_.submitted.size(), 2u);
  engine_.End(1, "x", 1);
  EXPECT_EQ(Get("/health")->status(), 200);
}

TEST_F(ApiTest, TakesNothingNewWhileItDrains) {
  const auto under_way = Chat();
  api().StartDraining();
  for (const auto& refused :
       {Chat(), Complete(), Post("/v1/embeddings", {{"model", "gpt2"}, {"input", "a"}})}) {
    EXPECT_REFUSED(refused, 503, "server_error", nullptr, "unavailable");
    EXPECT_EQ(refused->Header("Retry-After"), "1");
  }
  EXPECT_EQ(engine_.submitted.size(), 1u);
  engine_.End(0, "done", 4);
  EXPECT_EQ(under_way->status(), 200);
}

TEST_F(ApiTest, TokenizesAndBack) {
  config_.begin_tokens = {257};
  const json text = Post("/tokenize", {{"prompt", "hé"}})->Json();
  EXPECT_EQ(text["count"], 4);
  EXPECT_EQ(text["tokens"][0], 257);
  EXPECT_EQ(text["max_model_len"], 100);
  EXPECT_EQ(Post("/tokenize", {{"prompt", "hé"}, {"add_special_tokens", false}})->Json()["count"],
            3);
  EXPECT_EQ(Post("/detokenize", {{"tokens", text["tokens"]}})->Json()["prompt"], "<|im_start|>hé");
  const json chat =
      Post("/tokenize", {{"messages", {{{"role", "user"}, {"content", "a"}}}}})->Json();
  EXPECT_EQ(chat["tokens"][0], *tokenizer_.Special("<|im_start|>"));
  // Half a character is no UTF-8.
  EXPECT_EQ(Post("/detokenize", {{"tokens", {tokenizer_.ByteToken(0xC3)}}})->Json()["prompt"],
            "\xEF\xBF\xBD");
  EXPECT_REFUSED(Post("/tokenize", json::object()), 400, "invalid_request_error", "prompt",
                 "missing_required_parameter");
  EXPECT_REFUSED(Post("/tokenize", {{"prompt", 5}}), 400, "invalid_request_error", "prompt",
                 "invalid_type");
  EXPECT_REFUSED(Post("/detokenize", {{"tokens", "x"}}), 400, "invalid_request_error", "tokens",
                 "invalid_type");
  EXPECT_REFUSED(Post("/detokenize", json::object()), 400, "invalid_request_error", "tokens",
                 "missing_required_parameter");
  EXPECT_REFUSED(Post("/detokenize", {{"tokens", {259}}}), 400, "invalid_request_error", "tokens",
                 "invalid_value");
}

TEST_F(ApiTest, TextThatNoContextHoldsIsNotEncoded) {
  const std::string most(100 * 13, 'x');  // <|endoftext|> is the longest token
  EXPECT_EQ(Post("/tokenize", {{"prompt", most}})->Json()["count"], 1300);
  const json too_long = {{"model", "gpt2"}, {"prompt", most + "x"}, {"input", most + "x"}};
  for (const char* path : {"/tokenize", "/v1/completions", "/v1/embeddings"}) {
    const auto refused = Post(path, too_long);
    const char* param = std::string(path) == "/v1/embeddings" ? "input" : "prompt";
    EXPECT_REFUSED(refused, 400, "invalid_request_error", param, "context_length_exceeded");
    EXPECT_NE(refused->answer.body.find("no text over 1300 bytes"), std::string::npos);
  }
  const json messages = {{{"role", "user"}, {"content", most}}};
  EXPECT_REFUSED(Chat({{"messages", messages}}), 400, "invalid_request_error", "messages",
                 "context_length_exceeded");
  EXPECT_REFUSED(Post("/tokenize", {{"messages", messages}}), 400, "invalid_request_error",
                 "messages", "context_length_exceeded");
  EXPECT_REFUSED(Post("/detokenize", {{"tokens", std::vector<int>(101)}}), 400,
                 "invalid_request_error", "tokens", "context_length_exceeded");
}

TEST_F(ApiTest, BodiesOfManyValuesAreNotReadToTheirEnd) {
  config_.limits.values = 50;
  config_.limits.keys = 20;
  const auto many = [](const std::string& value) {
    std::string list = value;
    for (int i = 0; i < 60; ++i) list += "," + value;
    return "{\"user\":[" + list + "]}";
  };
  for (const char* value : {"[]", "{}", "1", "\"x\""})
    EXPECT_REFUSED(Ask("POST", "/v1/completions", many(value)), 400, "invalid_request_error",
                   nullptr, "invalid_json");
  json keys;
  for (int i = 0; i < 21; ++i) keys[std::to_string(i)] = 0;
  const auto refused = Post("/v1/completions", keys);
  EXPECT_NE(refused->answer.body.find("more than 20 keys"), std::string::npos);
}

TEST_F(ApiTest, WhatGeneratesNothingIsARequestToo) {
  SetTenants(kTwoTenants);
  EXPECT_EQ(Post("/tokenize", {{"prompt", "x"}}, "red-secret")->status(), 200);
  EXPECT_EQ(Post("/detokenize", {{"tokens", {1}}}, "red-secret")->status(), 200);
  EXPECT_EQ(Post("/tokenize", {{"prompt", "x"}}, "red-secret")->status(), 200);
  EXPECT_EQ(Post("/detokenize", {{"tokens", {1}}}, "red-secret")->status(), 429);
  EXPECT_EQ(Post("/tokenize", {{"prompt", "x"}}, "green-secret")->status(), 200);
}

TEST_F(ApiTest, WithoutAStoreThereIsNoFeedback) {
  EXPECT_REFUSED(Post("/v1/feedback", json::object()), 404, "invalid_request_error", nullptr,
                 "unknown_url");
}

class FeedbackTest : public ApiTest {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/longrun-api-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    auto store = FeedbackStore::Open(folder_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    feedback_ = store_.get();
    SetTenants(kTwoTenants);
    Chat({{"n", 2}, {"max_tokens", 4}}, "green-secret");
    engine_.Say(0, "a", 1, FinishReason::kStop);
    engine_.End(0, "b", 2);
    id_ = Request(0).id;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::shared_ptr<FakeResponder> Give(const json& more, const std::string& key = "green-secret") {
    json body = {{"completion_id", id_}};
    body.update(more);
    return Post("/v1/feedback", body, key);
  }
  // What is on disk once the store has written everything.
  std::vector<json> Kept() {
    store_.reset();
    const auto read = ReadFeedback(folder_);
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() ? read->records : std::vector<json>();
  }

  std::string folder_, id_;
  std::unique_ptr<FeedbackStore> store_;
};

TEST_F(FeedbackTest, KeepsAPreference) {
  const auto pair = Give({{"chosen", 1}, {"rejected", "an edited text"}, {"comment", "shorter"}});
  const auto rated = Give({{"rating", -0.5}, {"choice", 1}});
  const std::vector<json> kept = Kept();
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(pair->status(), 200);
  EXPECT_EQ(kept[0]["id"], pair->Json()["id"]);
  EXPECT_EQ(pair->Json()["object"], "feedback");
  EXPECT_EQ(kept[0]["completion_id"], id_);
  EXPECT_EQ(kept[0]["tenant"], "green");
  EXPECT_EQ(kept[0]["model"], "gpt2");
  EXPECT_EQ(kept[0]["time"], "2023-11-14T22:13:20.000Z");
  EXPECT_EQ(kept[0]["chosen"], 1);
  EXPECT_EQ(kept[0]["rejected"], "an edited text");
  EXPECT_EQ(kept[0]["comment"], "shorter");
  EXPECT_EQ(rated->status(), 200);
  EXPECT_EQ(kept[1]["rating"], -0.5);
  EXPECT_EQ(kept[1]["choice"], 1);
}

TEST_F(FeedbackTest, OnlyWhoReceivedACompletionMayJudgeIt) {
  // Another's and nobody's cannot be told apart.
  const auto others = Give({{"rating", 1}}, "red-secret");
  EXPECT_REFUSED(others, 404, "invalid_request_error", "completion_id", "completion_not_found");
  const auto nobodys = Give({{"rating", 1}, {"completion_id", "chatcmpl-x"}}, "green-secret");
  EXPECT_REFUSED(nobodys, 404, "invalid_request_error", "completion_id", "completion_not_found");
  EXPECT_EQ(others->Error(), nobodys->Error());
  // A refused or cancelled one was received by nobody.
  Chat({}, "green-secret");
  engine_.End(1, "", 0, 0, FinishReason::kCancelled);
  EXPECT_EQ(Give({{"rating", 1}, {"completion_id", Request(1).id}})->status(), 404);
  EXPECT_TRUE(Kept().empty());
}

TEST_F(FeedbackTest, KeepsSoManyJudgementsOfACompletion) {
  for (int i = 0; i < 32; ++i) Give({{"rating", 1}});
  const auto refused = Give({{"rating", 1}});
  EXPECT_REFUSED(refused, 429, "rate_limit_error", "completion_id", "too_much_feedback");
  EXPECT_EQ(refused->Header("x-should-retry"), "false");
  EXPECT_EQ(Kept().size(), 32u);
}

TEST_F(FeedbackTest, SaysThatTheFileIsFull) {
  store_.reset();
  auto small = FeedbackStore::Open(folder_, 100);
  ASSERT_TRUE(small.ok());
  store_ = *std::move(small);
  feedback_ = store_.get();
  RestartApi();
  Chat({{"max_tokens", 4}}, "green-secret");
  engine_.End(1, "b", 2);
  id_ = Request(1).id;
  const auto refused = Give({{"rating", 1}, {"comment", std::string(100, 'x')}});
  EXPECT_REFUSED(refused, 503, "server_error", nullptr, "unavailable");
  EXPECT_EQ(refused->Header("x-should-retry"), "false");
  EXPECT_EQ(refused->Header("Retry-After"), "");
}

TEST_F(FeedbackTest, RefusesWhatSaysNothing) {
  const struct {
    json more;
    std::string param, code;
  } cases[] = {
      {json::object(), "rating", "missing_required_parameter"},
      {{{"chosen", 0}}, "rating", "missing_required_parameter"},
      {{{"chosen", 0}, {"rejected", 0}}, "rejected", "invalid_value"},
      {{{"chosen", 0}, {"rejected", 2}}, "rejected", "invalid_value"},
      {{{"chosen", -1}, {"rejected", 0}}, "chosen", "invalid_value"},
      {{{"chosen", std::string(70'000, 'x')}, {"rejected", 0}},
       "chosen",
       "string_above_max_length"},
      {{{"rating", 2}}, "rating", "decimal_above_max_value"},
      {{{"rating", "good"}}, "rating", "invalid_type"},
      {{{"rating", 1}, {"choice", 2}}, "choice", "integer_above_max_value"},
      {{{"rating", 1}, {"comment", std::string(70'000, 'x')}},
       "comment",
       "string_above_max_length"},
      {{{"rating", 1}, {"completion_id", nullptr}}, "completion_id", "missing_required_parameter"},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(one.more.dump().substr(0, 60));
    EXPECT_REFUSED(Give(one.more), 400, "invalid_request_error", one.param, one.code);
  }
  EXPECT_TRUE(Kept().empty());
}

TEST_F(ApiTest, TheMetricsPageShowsUtilisationOfTheLastSeconds) {
  config_.peak = {.flops = 100, .bytes_per_second = 10};
  config_.http_connections = [] { return int64_t{7}; };
  Get("/metrics");
  now_ = now_ + Duration::Seconds(2);
  engine_.stats.flops_total = 100;
  engine_.stats.bytes_read_total = 5;
  const auto page = Get("/metrics");
  EXPECT_EQ(page->answer.content_type, "text/plain; version=0.0.4; charset=utf-8");
  for (const char* line :
       {"longrun:mfu{model_name=\"gpt2\"} 0.5\n", "longrun:mbu{model_name=\"gpt2\"} 0.25\n",
        "longrun:arithmetic_intensity{model_name=\"gpt2\"} 20\n",
        "longrun:http_connections{model_name=\"gpt2\"} 7\n"})
    EXPECT_NE(page->answer.body.find(line), std::string::npos) << line;
}

}  // namespace
}  // namespace longrun::serving
