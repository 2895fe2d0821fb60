#include "serving/openai/requests.h"

#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

using nlohmann::json;

constexpr int64_t kVocabulary = 1000;
constexpr char kInvalid[] = "invalid_value";

json Merged(json body, const json& more) {
  body.update(more);
  return body;
}
json ChatBody(const json& more = json::object()) {
  return Merged({{"model", "m"}, {"messages", {{{"role", "user"}, {"content", "hi"}}}}}, more);
}
json CompletionBody(const json& more = json::object()) {
  return Merged({{"model", "m"}, {"prompt", "Once"}}, more);
}

struct Read {
  ChatRequest chat;
  CompletionRequest completion;
  EmbeddingRequest embedding;
  bool ok = false;
  ApiError error;
};

Read ReadText(const std::string& form, const std::string& text) {
  Read read;
  json body;
  if (!ParseBody({}, text, &body, &read.error)) return read;
  BodyFields fields(body, "", text);
  if (form == "chat") read.chat = ReadChatRequest({}, kVocabulary, &fields);
  if (form == "completion") read.completion = ReadCompletionRequest({}, kVocabulary, &fields);
  if (form == "embedding") read.embedding = ReadEmbeddingRequest({}, kVocabulary, &fields);
  read.ok = fields.ok();
  if (!read.ok) read.error = fields.error();
  return read;
}
Read ReadChat(const json& more = json::object()) { return ReadText("chat", ChatBody(more).dump()); }
Read ReadCompletion(const json& more = json::object()) {
  return ReadText("completion", CompletionBody(more).dump());
}

TEST(RequestsTest, LeavesOpenAisDefaults) {
  const Read read = ReadChat();
  ASSERT_TRUE(read.ok) << read.error.message;
  const GenerationFields& fields = read.chat.fields;
  EXPECT_EQ(fields.model, "m");
  EXPECT_EQ(fields.choices, 1);
  EXPECT_FALSE(fields.max_tokens.has_value());
  EXPECT_FALSE(fields.seed.has_value());
  EXPECT_EQ(fields.sampling.temperature, 1);
  EXPECT_EQ(fields.sampling.top_p, 1);
  EXPECT_EQ(fields.sampling.top_logprobs, -1);
  EXPECT_FALSE(fields.stream);
  EXPECT_EQ(fields.format.kind, FormatKind::kText);
}

TEST(RequestsTest, ReadsEveryFieldOfSampling) {
  const Read read = ReadChat({{"max_tokens", 5},
                              {"max_completion_tokens", 7},
                              {"n", 3},
                              {"seed", -1},
                              {"temperature", 0.5},
                              {"top_p", 0.9},
                              {"min_p", 0.1},
                              {"top_k", 40},
                              {"frequency_penalty", -1.5},
                              {"presence_penalty", 2},
                              {"repetition_penalty", 1.1},
                              {"logit_bias", {{"7", -100}, {"999", 1.5}}},
                              {"stop", {"a", "b"}},
                              {"stop_token_ids", {3, 4}},
                              {"ignore_eos", true},
                              {"priority", -5},
                              {"logprobs", true},
                              {"top_logprobs", 2},
                              {"stream", true},
                              {"stream_options", {{"include_usage", true}}},
                              {"user", "u"},
                              {"chat_template_kwargs", {{"enable_thinking", false}}},
                              {"nobody_knows_this", {1, 2}}});
  ASSERT_TRUE(read.ok) << read.error.message;
  const GenerationFields& fields = read.chat.fields;
  EXPECT_EQ(fields.max_tokens, 7);
  EXPECT_EQ(fields.choices, 3);
  EXPECT_EQ(fields.seed, ~uint64_t{0});
  EXPECT_EQ(fields.sampling.temperature, 0.5);
  EXPECT_EQ(fields.sampling.top_p, 0.9);
  EXPECT_EQ(fields.sampling.min_p, 0.1);
  EXPECT_EQ(fields.sampling.top_k, 40);
  EXPECT_EQ(fields.sampling.frequency_penalty, -1.5);
  EXPECT_EQ(fields.sampling.presence_penalty, 2);
  EXPECT_EQ(fields.sampling.repetition_penalty, 1.1);
  using Bias = std::vector<std::pair<TokenId, float>>;
  EXPECT_EQ(fields.sampling.logit_bias, (Bias{{7, -100.0f}, {999, 1.5f}}));
  EXPECT_EQ(fields.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(fields.stop_tokens, (std::vector<TokenId>{3, 4}));
  EXPECT_TRUE(fields.ignore_end_of_text);
  EXPECT_EQ(fields.priority, -5);
  EXPECT_EQ(fields.sampling.top_logprobs, 2);
  EXPECT_TRUE(fields.stream);
  EXPECT_TRUE(fields.include_usage);
  EXPECT_EQ(read.chat.template_variables, json({{"enable_thinking", false}}));
}

TEST(RequestsTest, TakesNullForAbsentAndWholeFloatsForNumbers) {
  const Read read = ReadCompletion(
      {{"max_tokens", 16.0}, {"n", nullptr}, {"stop", nullptr}, {"logprobs", nullptr}});
  ASSERT_TRUE(read.ok) << read.error.message;
  EXPECT_EQ(read.completion.fields.max_tokens, 16);
  EXPECT_EQ(read.completion.fields.choices, 1);
  EXPECT_EQ(read.completion.fields.sampling.top_logprobs, -1);
}

TEST(RequestsTest, NamesWhatIsNotABody) {
  const struct {
    std::string body, code;
  } cases[] = {
      {"", "invalid_json"},
      {"{", "invalid_json"},
      {R"({"model": "m", "model": "m"})", "invalid_json"},
      {R"({"n": 1e999})", "invalid_json"},
      {std::string(2000, '[') + std::string(2000, ']'), "invalid_json"},
      {"{\"model\": \"\xFF\"}", "invalid_utf8"},
      {"{\"model\": \"\xED\xA0\x80\"}", "invalid_utf8"},
      {"[]", "invalid_type"},
      {"null", "invalid_type"},
      {"7", "invalid_type"},
  };
  for (const auto& [body, code] : cases) {
    const Read read = ReadText("chat", body);
    EXPECT_FALSE(read.ok) << body;
    EXPECT_EQ(read.error.status, 400) << body;
    EXPECT_EQ(read.error.code, code) << body.substr(0, 40);
    EXPECT_EQ(read.error.param, "") << body;
    EXPECT_FALSE(read.error.message.empty()) << body;
  }
}

struct Mistake {
  json more;
  std::string param, code;
};

void ExpectMistakes(const std::string& form, const json& base,
                    const std::vector<Mistake>& mistakes) {
  for (const Mistake& mistake : mistakes) {
    const Read read = ReadText(form, Merged(base, mistake.more).dump());
    const std::string said = mistake.more.dump().substr(0, 100) + ": " + read.error.message;
    EXPECT_FALSE(read.ok) << said;
    EXPECT_EQ(read.error.status, 400) << said;
    EXPECT_EQ(read.error.type, "invalid_request_error") << said;
    EXPECT_EQ(read.error.param, mistake.param) << said;
    EXPECT_EQ(read.error.code, mistake.code) << said;
    EXPECT_FALSE(read.error.message.empty()) << said;
  }
}

TEST(RequestsTest, NamesTheFieldThatIsWrong) {
  json many_biases;
  for (int i = 0; i < 1000; ++i) many_biases[std::to_string(i)] = 1;
  for (int i = 0; i < 100; ++i) many_biases["0" + std::to_string(i)] = 1;
  const json many_stops(17, "x");
  ExpectMistakes(
      "chat", ChatBody(),
      {
          {{{"model", nullptr}}, "model", "missing_required_parameter"},
          {{{"model", 3}}, "model", "invalid_type"},
          {{{"max_tokens", "many"}}, "max_tokens", "invalid_type"},
          {{{"max_tokens", 1.5}}, "max_tokens", "invalid_type"},
          {{{"max_tokens", -1}}, "max_tokens", "integer_below_min_value"},
          {{{"max_tokens", 1e300}}, "max_tokens", "integer_above_max_value"},
          {{{"max_tokens", ~uint64_t{0}}}, "max_tokens", "integer_above_max_value"},
          {{{"n", 0}}, "n", "integer_below_min_value"},
          {{{"n", 1'000'000'000}}, "n", "integer_above_max_value"},
          {{{"n", true}}, "n", "invalid_type"},
          {{{"temperature", 2.1}}, "temperature", "decimal_above_max_value"},
          {{{"temperature", -0.1}}, "temperature", "decimal_below_min_value"},
          {{{"temperature", "hot"}}, "temperature", "invalid_type"},
          {{{"top_p", 1.1}}, "top_p", "decimal_above_max_value"},
          {{{"frequency_penalty", 3}}, "frequency_penalty", "decimal_above_max_value"},
          {{{"repetition_penalty", 0}}, "repetition_penalty", "decimal_below_min_value"},
          {{{"seed", "x"}}, "seed", "invalid_type"},
          {{{"seed", uint64_t{1} << 63}}, "seed", "integer_above_max_value"},
          {{{"seed", 1e300}}, "seed", "integer_above_max_value"},
          {{{"seed", -1e19}}, "seed", "integer_below_min_value"},
          {{{"top_p", 0}}, "top_p", "decimal_below_min_value"},
          {{{"stream", "yes"}}, "stream", "invalid_type"},
          {{{"stream_options", 1}}, "stream_options", "invalid_type"},
          {{{"stream_options", {{"include_usage", 1}}}},
           "stream_options.include_usage",
           "invalid_type"},
          {{{"stop", 1}}, "stop", "invalid_type"},
          {{{"stop", ""}}, "stop", kInvalid},
          {{{"stop", {1}}}, "stop", kInvalid},
          {{{"stop", many_stops}}, "stop", "array_above_max_length"},
          {{{"stop", std::string(257, 'x')}}, "stop", "string_above_max_length"},
          {{{"stop_token_ids", {1000}}}, "stop_token_ids", kInvalid},
          {{{"stop_token_ids", "x"}}, "stop_token_ids", kInvalid},
          {{{"logit_bias", {1}}}, "logit_bias", "invalid_type"},
          {{{"logit_bias", {{"1000", 1}}}}, "logit_bias", kInvalid},
          {{{"logit_bias", {{"-1", 1}}}}, "logit_bias", kInvalid},
          {{{"logit_bias", {{"x", 1}}}}, "logit_bias", kInvalid},
          {{{"logit_bias", {{"1", 101}}}}, "logit_bias", kInvalid},
          {{{"logit_bias", {{"1", "2"}}}}, "logit_bias", kInvalid},
          {{{"logit_bias", many_biases}}, "logit_bias", kInvalid},
          {{{"logprobs", 2}}, "logprobs", "invalid_type"},
          {{{"top_logprobs", 2}}, "top_logprobs", kInvalid},
          {{{"logprobs", true}, {"top_logprobs", 21}}, "top_logprobs", "integer_above_max_value"},
          {{{"response_format", "json"}}, "response_format", kInvalid},
          {{{"response_format", {{"type", "xml"}}}}, "response_format", kInvalid},
          {{{"response_format", {{"type", "json_schema"}}}},
           "response_format.json_schema",
           "missing_required_parameter"},
          {{{"response_format", {{"type", "json_schema"}, {"json_schema", {{"schema", 5}}}}}},
           "response_format.json_schema",
           "missing_required_parameter"},
          {{{"response_format",
             {{"type", "json_schema"},
              {"json_schema", {{"schema", {{"title", std::string(70'000, 'x')}}}}}}}},
           "response_format.json_schema",
           "string_above_max_length"},
          {{{"priority", 3e9}}, "priority", "integer_above_max_value"},
          {{{"user", 4}}, "user", "invalid_type"},
          {{{"chat_template_kwargs", "x"}}, "chat_template_kwargs", "invalid_type"},
          {{{"chat_template_kwargs", {{"x", std::string(70'000, 'x')}}}},
           "chat_template_kwargs",
           "string_above_max_length"},
      });
}

TEST(RequestsTest, NamesTheMessageThatIsWrong) {
  const auto messages = [](const json& one) -> json {
    return {{"messages", {{{"role", "user"}, {"content", "hi"}}, one}}};
  };
  const json part = {{"type", "image_url"}, {"image_url", {{"url", "data:"}}}};
  ExpectMistakes(
      "chat", ChatBody(),
      {
          {{{"messages", nullptr}}, "messages", "missing_required_parameter"},
          {{{"messages", "hi"}}, "messages", "invalid_type"},
          {{{"messages", json::array()}}, "messages", "empty_array"},
          {{{"messages", json(4097, {{"role", "user"}})}}, "messages", "array_above_max_length"},
          {messages(1), "messages[1]", "invalid_type"},
          {messages(json::object()), "messages[1].role", kInvalid},
          {messages({{"role", "king"}, {"content", "x"}}), "messages[1].role", kInvalid},
          {messages({{"role", {1}}, {"content", "x"}}), "messages[1].role", kInvalid},
          {messages({{"role", "user"}}), "messages[1].content", "missing_required_parameter"},
          {messages({{"role", "user"}, {"content", 5}}), "messages[1].content", "invalid_type"},
          {messages({{"role", "user"}, {"content", {part}}}), "messages[1].content", kInvalid},
          {messages({{"role", "user"}, {"content", {5}}}), "messages[1].content", kInvalid},
          {messages({{"role", "user"}, {"content", "x"}, {"name", 7}}), "messages[1].name",
           "invalid_type"},
          {messages({{"role", "user"}, {"content", std::string(5 << 20, 'x')}}), "messages",
           "context_length_exceeded"},
          {messages({{"role", "user"}, {"content", "x"}, {"name", std::string(5 << 20, 'x')}}),
           "messages", "context_length_exceeded"},
      });
}

TEST(RequestsTest, ReadsContentInParts) {
  const Read read = ReadChat(
      {{"messages",
        {{{"role", "developer"}, {"content", "Be brief."}},
         {{"role", "user"},
          {"name", "Ann"},
          {"content", {{{"type", "text"}, {"text", "a"}}, {{"type", "text"}, {"text", "b"}}}}}}}});
  ASSERT_TRUE(read.ok) << read.error.message;
  ASSERT_EQ(read.chat.messages.size(), 2u);
  EXPECT_EQ(read.chat.messages[0].role, "system");
  EXPECT_EQ(read.chat.messages[1].content, "ab");
  EXPECT_EQ(read.chat.messages[1].name, "Ann");
}

TEST(RequestsTest, KeepsTheOrderOfASchemasKeys) {
  // A schema's properties are generated in the order in which they stand.
  const std::string schema =
      R"({"type":"object","properties":{"zeta":{"type":"string"},"alpha":{"type":"integer"}}})";
  const std::string text = R"({"response_format": {"type": "json_schema", "json_schema":
      {"name": "x", "strict": true, "schema": )" +
                           schema + R"(}}, "model": "m", "prompt": "p"})";
  const Read read = ReadText("completion", text);
  ASSERT_TRUE(read.ok) << read.error.message;
  EXPECT_EQ(read.completion.fields.format.kind, FormatKind::kJsonSchema);
  EXPECT_EQ(read.completion.fields.format.json_schema, schema);
}

TEST(RequestsTest, ReadsEveryFormOfPrompt) {
  const auto prompts = [](const json& prompt) {
    const Read read = ReadCompletion({{"prompt", prompt}});
    EXPECT_TRUE(read.ok) << prompt << read.error.message;
    return read.completion.prompts;
  };
  using Tokens = std::vector<TokenId>;
  EXPECT_EQ(prompts("a"), (std::vector<Prompt>{"a"}));
  EXPECT_EQ(prompts({"a", "b"}), (std::vector<Prompt>{"a", "b"}));
  EXPECT_EQ(prompts(json::array({5, 6})), (std::vector<Prompt>{Tokens{5, 6}}));
  EXPECT_EQ(prompts(json::array({json::array({5}), json::array({6, 7})})),
            (std::vector<Prompt>{Tokens{5}, Tokens{6, 7}}));
}

TEST(RequestsTest, NamesWhatIsWrongInACompletion) {
  ExpectMistakes("completion", CompletionBody(),
                 {
                     {{{"prompt", nullptr}}, "prompt", "missing_required_parameter"},
                     {{{"prompt", 5}}, "prompt", "invalid_type"},
                     {{{"prompt", json::array()}}, "prompt", "empty_array"},
                     {{{"prompt", {{"a", 1}}}}, "prompt", "invalid_type"},
                     {{{"prompt", json::array({1, "a"})}}, "prompt", kInvalid},
                     {{{"prompt", json::array({1000})}}, "prompt", kInvalid},
                     {{{"prompt", json::array({-1})}}, "prompt", kInvalid},
                     {{{"prompt", json::array({1.5})}}, "prompt", kInvalid},
                     {{{"prompt", json::array({~uint64_t{0}})}}, "prompt", kInvalid},
                     {{{"prompt", json::array({"a", true})}}, "prompt", kInvalid},
                     {{{"prompt", json(65, "a")}}, "prompt", "array_above_max_length"},
                     {{{"prompt", std::string(5 << 20, 'x')}}, "prompt", "context_length_exceeded"},
                     {{{"prompt", json(17, "a")}, {"n", 4}}, "n", "integer_above_max_value"},
                     {{{"logprobs", 21}}, "logprobs", "integer_above_max_value"},
                     {{{"logprobs", true}}, "logprobs", "invalid_type"},
                     {{{"echo", 1}}, "echo", "invalid_type"},
                     {{{"suffix", "x"}}, "suffix", "unsupported_parameter"},
                     {{{"best_of", 3}}, "best_of", "unsupported_parameter"},
                 });
}

// Left unread, they would let a client take an answer for what it is not.
TEST(RequestsTest, RefusesWhatOtherServersWouldAnswerOtherwise) {
  ExpectMistakes(
      "completion", {{"model", "m"}, {"prompt", "a"}},
      {
          {{{"guided_json", {{"type", "object"}}}}, "guided_json", "unsupported_parameter"},
          {{{"grammar", "root ::= \"a\""}}, "grammar", "unsupported_parameter"},
          {{{"structured_outputs", {{"choice", {"a"}}}}},
           "structured_outputs",
           "unsupported_parameter"},
          {{{"use_beam_search", true}}, "use_beam_search", "unsupported_parameter"},
          {{{"min_tokens", 3}}, "min_tokens", "unsupported_parameter"},
          {{{"add_generation_prompt", false}}, "add_generation_prompt", "unsupported_parameter"},
      });
  for (const char* fields :
       {R"("guided_json": null, "grammar": "", "bad_words": [], "use_beam_search": false)",
        R"("min_tokens": 3, "ignore_eos": true)", R"("min_tokens": 0, "mirostat": 1)",
        R"("add_generation_prompt": true)"}) {
    const Read read =
        ReadText("completion", std::string(R"({"model": "m", "prompt": "a", )") + fields + "}");
    EXPECT_TRUE(read.ok) << fields << ": " << read.error.message;
  }
}

TEST(RequestsTest, ReadsEmbeddings) {
  const Read read =
      ReadText("embedding", R"({"model": "m", "input": ["a", "b"], "encoding_format": "base64"})");
  ASSERT_TRUE(read.ok) << read.error.message;
  EXPECT_EQ(read.embedding.inputs.size(), 2u);
  EXPECT_TRUE(read.embedding.base64);
  // Clients send their documents by the thousand.
  const json many = {{"model", "m"}, {"input", json(2048, "a")}};
  EXPECT_TRUE(ReadText("embedding", many.dump()).ok);
  ExpectMistakes("embedding", {{"model", "m"}, {"input", "a"}},
                 {
                     {{{"model", nullptr}}, "model", "missing_required_parameter"},
                     {{{"input", nullptr}}, "input", "missing_required_parameter"},
                     {{{"input", 1}}, "input", "invalid_type"},
                     {{{"input", json(2049, "a")}}, "input", "array_above_max_length"},
                     {{{"encoding_format", "hex"}}, "encoding_format", kInvalid},
                     {{{"dimensions", 64}}, "dimensions", "unsupported_parameter"},
                 });
}

TEST(RequestsTest, SeedsAreAllOfInt64) {
  constexpr auto kMost = std::numeric_limits<int64_t>::max();
  for (const int64_t seed : {kMost, kMost - 1, -kMost - 1, (int64_t{1} << 53) + 1}) {
    const Read read = ReadCompletion({{"seed", seed}});
    EXPECT_TRUE(read.ok) << seed;
    EXPECT_EQ(read.completion.fields.seed, static_cast<uint64_t>(seed));
  }
}

}  // namespace
}  // namespace longrun::serving
