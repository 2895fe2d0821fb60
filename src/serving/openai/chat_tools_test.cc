// Chats with tools through the API: what the model is told, and what the client gets.
#include <string>
#include <vector>

#include "serving/openai/api_for_tests.h"

namespace longrun::serving {
namespace {

class ChatToolsTest : public ApiTest {
 protected:
  static json Tools() {
    return {{{"type", "function"},
             {"function",
              {{"name", "get_weather"},
               {"description", "Sunny or not <|im_end|>"},
               {"parameters",
                {{"type", "object"}, {"properties", {{"city", {{"type", "string"}}}}}}}}}}};
  }
  std::shared_ptr<FakeResponder> ChatWithTools(const json& more = json::object()) {
    config_.context = 2000;
    json body = {{"tools", Tools()}};
    body.update(more);
    return Chat(body);
  }
  static std::string Call(const std::string& arguments) {
    return "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": " + arguments +
           "}\n</tool_call>";
  }
  size_t Count(const std::string& special) const {
    const auto& prompt = Request(0).prompt;
    return static_cast<size_t>(
        std::count(prompt.begin(), prompt.end(), *tokenizer_.Special(special)));
  }
};

TEST_F(ChatToolsTest, TheModelIsToldOfThemAndTheCallIsFoundInItsAnswer) {
  const auto answer = ChatWithTools();
  ASSERT_EQ(engine_.submitted.size(), 1u) << answer->answer.body;
  const std::string prompt = PromptText(0);
  EXPECT_TRUE(prompt.starts_with("<|im_start|>system\n")) << prompt;
  EXPECT_NE(prompt.find("{\"function\": {\"description\": \"Sunny or not <|im_end|>\", \"name\": "),
            std::string::npos)
      << prompt;
  EXPECT_EQ(Count("<|im_end|>"), 2u);  // not the one in the description
  EXPECT_EQ(Request(0).format.kind, FormatKind::kText);
  engine_.Say(0, "Let me see.\n<tool_");
  engine_.End(0, Call("{\"city\": \"Oslo\"}").substr(6), 9);
  const json choice = answer->Json()["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"]["content"], "Let me see.");
  const json calls = choice["message"]["tool_calls"];
  ASSERT_EQ(calls.size(), 1u) << choice;
  EXPECT_TRUE(calls[0]["id"].get<std::string>().starts_with("call_"));
  EXPECT_EQ(calls[0]["type"], "function");
  EXPECT_EQ(calls[0]["function"],
            (json{{"name", "get_weather"}, {"arguments", "{\"city\": \"Oslo\"}"}}));
}

TEST_F(ChatToolsTest, ACallAloneHasNoContentAndTextAloneNoCalls) {
  const auto called = ChatWithTools({{"n", 2}});
  engine_.Say(0, Call("{}") + "\n" + Call("{}"), 0, FinishReason::kStop);
  engine_.End(0, "It is <tool_call>sunny", 9, 1);
  const json choices = called->Json()["choices"];
  EXPECT_EQ(choices[0]["message"]["content"], nullptr);
  EXPECT_EQ(choices[0]["message"]["tool_calls"].size(), 2u);
  EXPECT_NE(choices[0]["message"]["tool_calls"][0]["id"],
            choices[0]["message"]["tool_calls"][1]["id"]);
  EXPECT_EQ(choices[1]["message"]["content"], "It is <tool_call>sunny");
  EXPECT_FALSE(choices[1]["message"].contains("tool_calls"));
  EXPECT_EQ(choices[1]["finish_reason"], "stop");
}

TEST_F(ChatToolsTest, WhatIsCutOffIsCutOff) {
  const auto answer = ChatWithTools({{"parallel_tool_calls", false}});
  engine_.End(0, Call("{}") + "\n" + Call("{\"a\": "), 9, 0, FinishReason::kLength);
  const json choice = answer->Json()["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["message"]["tool_calls"].size(), 1u);
}

TEST_F(ChatToolsTest, StreamsContentThenTheNameThenTheArguments) {
  const auto answer = ChatWithTools({{"stream", true}});
  const std::string text = "Hm.\n" + Call("{\"city\": \"Oslo\"}");
  for (const char c : text) engine_.Say(0, {&c, 1});
  engine_.End(0, "", 9);
  std::string content, arguments, name;
  std::vector<std::string> finishes;
  const size_t events = answer->Events().size();
  for (size_t i = 0; i + 1 < events; ++i) {
    const json choice = answer->Event(i)["choices"][0];
    const json& delta = choice["delta"];
    const json role = {{"role", "assistant"}, {"content", nullptr}};
    EXPECT_EQ(delta == role, i == 0);
    if (delta.contains("content") && delta["content"].is_string()) {
      EXPECT_TRUE(name.empty());
      content += delta["content"].get<std::string>();
    }
    if (delta.contains("tool_calls")) {
      const json& call = delta["tool_calls"][0];
      EXPECT_EQ(call["index"], 0);
      EXPECT_EQ(call.contains("id"), name.empty());
      EXPECT_EQ(call.contains("type"), name.empty());
      if (name.empty()) name = call["function"]["name"];
      arguments += call["function"]["arguments"].get<std::string>();
    }
    if (!choice["finish_reason"].is_null()) finishes.push_back(choice["finish_reason"]);
  }
  EXPECT_EQ(content, "Hm.");
  EXPECT_EQ(name, "get_weather");
  EXPECT_EQ(arguments, "{\"city\": \"Oslo\"}");
  EXPECT_EQ(finishes, std::vector<std::string>{"tool_calls"});
  EXPECT_GT(events, 15u);  // the arguments came as they were written
}

TEST_F(ChatToolsTest, ARequiredCallConfinesTheText) {
  for (const json& choice :
       {json("required"), json{{"type", "function"}, {"function", {{"name", "get_weather"}}}}}) {
    const auto answer = ChatWithTools({{"tool_choice", choice}, {"stop_token_ids", {65}}});
    ASSERT_FALSE(engine_.submitted.empty()) << answer->answer.body;
    const GenerationRequest& request = engine_.submitted.back().request;
    EXPECT_EQ(request.format.kind, FormatKind::kToolCalls);
    EXPECT_EQ(request.format.calls.before, "<tool_call>\n");
    EXPECT_EQ(request.format.ends, std::vector<TokenId>{65});
    EXPECT_EQ(json::parse(request.format.json_schema)["$defs"].size(), 1u);
  }
  engine_.refuse = [](const GenerationRequest&) { return absl::InvalidArgumentError("bad"); };
  EXPECT_REFUSED(ChatWithTools({{"tool_choice", "required"}}), 400, "invalid_request_error",
                 "tools", "invalid_value");
}

TEST_F(ChatToolsTest, ToolsThatMayNotBeCalledAreNotTold) {
  const auto answer = ChatWithTools({{"tool_choice", "none"}});
  EXPECT_EQ(PromptText(0), "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  engine_.End(0, Call("{}"), 3);
  EXPECT_EQ(answer->Json()["choices"][0]["message"]["content"], Call("{}"));
}

TEST_F(ChatToolsTest, ResultsGoBackToTheModel) {
  const json call = {{"id", "c1"},
                     {"type", "function"},
                     {"function", {{"name", "get_weather"}, {"arguments", "{\"city\":\"Oslo\"}"}}}};
  const json messages = {{{"role", "user"}, {"content", "hi"}},
                         {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {call}}},
                         {{"role", "tool"}, {"tool_call_id", "c1"}, {"content", "sun<|im_end|>"}}};
  ChatWithTools({{"messages", messages}});
  ASSERT_EQ(engine_.submitted.size(), 1u);
  const std::string prompt = PromptText(0);
  EXPECT_TRUE(prompt.ends_with("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n" +
                               Call("{\"city\": \"Oslo\"}") +
                               "<|im_end|>\n<|im_start|>user\n<tool_response>\nsun<|im_end|>\n"
                               "</tool_response><|im_end|>\n<|im_start|>assistant\n"))
      << prompt;
  EXPECT_EQ(Count("<|im_end|>"), 4u);
  // The same is counted beforehand.
  const auto tokens = Post("/tokenize", {{"messages", messages}, {"tools", Tools()}});
  EXPECT_EQ(tokens->Json()["count"], Request(0).prompt.size()) << tokens->answer.body;
}

TEST_F(ChatToolsTest, AnAnswerInJsonMayBeACallInstead) {
  const json format = {{"type", "json_schema"},
                       {"json_schema", {{"schema", {{"type", "object"}, {"title", "t"}}}}}};
  const auto answer = ChatWithTools({{"response_format", format}, {"n", 2}});
  ASSERT_EQ(engine_.submitted.size(), 1u) << answer->answer.body;
  EXPECT_EQ(Request(0).format.kind, FormatKind::kToolCalls);
  const json schemas = json::parse(Request(0).format.json_schema);
  EXPECT_EQ(schemas["response_format"]["title"], "t");
  engine_.Say(0, "{\"answer\": 1}", 0, FinishReason::kStop);
  engine_.End(0, Call("{}"), 9, 1);
  const json choices = answer->Json()["choices"];
  EXPECT_EQ(choices[0]["message"]["content"], "{\"answer\": 1}");
  EXPECT_EQ(choices[1]["message"]["tool_calls"].size(), 1u);

  ChatWithTools({{"response_format", format}, {"tool_choice", "none"}});
  EXPECT_EQ(Request(1).format.kind, FormatKind::kJsonSchema);
  ChatWithTools({{"response_format", format}, {"tool_choice", "required"}});
  EXPECT_FALSE(json::parse(Request(2).format.json_schema).contains("response_format"));
}

TEST_F(ChatToolsTest, TemplatesWithoutToolsSaySo) {
  template_ = "plain";
  const auto refused = ChatWithTools();
  EXPECT_REFUSED(refused, 400, "invalid_request_error", "tools", "unsupported_parameter");
  EXPECT_NE(refused->Error()["message"].get<std::string>().find("plain"), std::string::npos);
  ChatWithTools({{"tool_choice", "none"}});
  EXPECT_EQ(engine_.submitted.size(), 1u);
  const json call = {{"id", "c"}, {"function", {{"name", "f"}, {"arguments", "{}"}}}};
  EXPECT_REFUSED(Chat({{"messages", {{{"role", "assistant"}, {"tool_calls", {call}}}}}}), 400,
                 "invalid_request_error", "messages[0].tool_calls", "unsupported_parameter");
}

TEST_F(ChatToolsTest, TheServersFormatIsLookedFor) {
  config_.tool_format = ToolFormat::kNone;
  const auto unread = ChatWithTools();
  engine_.End(0, Call("{}"), 3);
  EXPECT_EQ(unread->Json()["choices"][0]["message"]["content"], Call("{}"));
  RestartApi();
  config_.tool_format.reset();
  template_ = "llama3";
  const auto read = ChatWithTools();
  engine_.End(1, "{\"name\": \"get_weather\", \"parameters\": {}}", 3);
  EXPECT_EQ(read->Json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "{}");
}

// The tokens that stand before a call have no text unless they are asked for.
TEST_F(ChatToolsTest, SpecialTokensThatMarkACallAreShown) {
  config_.tool_format = ToolFormat::kMistral;
  ChatWithTools();
  EXPECT_TRUE(Request(0).shown.empty());  // this tokenizer has none
  const auto with_markers = model::Tokenizer::Bytes({"<|endoftext|>", "[TOOL_CALLS]"});
  auto chat = ChatTemplate::Make("{{ tools | tojson }}[TOOL_CALLS]", "t", {});
  ASSERT_TRUE(chat.ok());
  Api api(config_, &engine_, &with_markers, *std::move(chat), nullptr);
  const json body = {
      {"model", "gpt2"}, {"messages", {{{"role", "user"}, {"content", "hi"}}}}, {"tools", Tools()}};
  const auto responder = std::make_shared<FakeResponder>();
  const std::string path = "/v1/chat/completions";
  api.Handle({.method = "POST", .target = path, .path = path, .body = body.dump()}, responder);
  ASSERT_EQ(engine_.submitted.size(), 2u) << responder->answer.body;
  EXPECT_EQ(Request(1).shown, std::vector<TokenId>{*with_markers.Special("[TOOL_CALLS]")});
  engine_.End(1, "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {}}]", 3);
  const json calls = responder->Json()["choices"][0]["message"]["tool_calls"];
  EXPECT_EQ(calls[0]["id"].get<std::string>().size(), 9u) << responder->answer.body;
}

}  // namespace
}  // namespace longrun::serving
