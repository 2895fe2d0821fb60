// Tools and their messages as requests have them, and the texts that a call is confined to.
#include "serving/openai/tools.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "serving/grammar/walks_for_tests.h"
#include "serving/openai/chat_messages.h"
#include "serving/openai/tool_call_reader.h"

namespace longrun::serving {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

json Function(const std::string& name, const json& more = json::object()) {
  json function = {{"name", name}};
  function.update(more);
  return {{"type", "function"}, {"function", function}};
}

struct Outcome {
  ToolFields tools;
  std::vector<ChatMessage> messages;
  ApiError error;
  bool ok = false;
};
Outcome ReadText(const std::string& text) {
  Outcome outcome;
  json body;
  if (!ParseBody({}, text, &body, &outcome.error)) return outcome;
  BodyFields fields(body, "", text);
  outcome.tools = ReadTools({}, &fields);
  if (fields.Find("messages") != nullptr) outcome.messages = ReadMessages({}, &fields);
  outcome.ok = fields.ok();
  if (!outcome.ok) outcome.error = fields.error();
  return outcome;
}

TEST(ToolsTest, AreReadInTheirOrder) {
  const Outcome read = ReadText(
      R"({"a": [], "tools": [{"type": "function", "function": {"parameters": {"type": "object",
          "properties": {"z": {}, "a": {}}}, "name": "f_1-x", "strict": null}}], "z": {}})");
  ASSERT_TRUE(read.ok) << read.error.message;
  EXPECT_EQ(read.tools.names, std::vector<std::string>{"f_1-x"});
  EXPECT_EQ(read.tools.tools[0].dump(),
            R"({"type":"function","function":{"parameters":{"type":"object","properties":)"
            R"({"z":{},"a":{}}},"name":"f_1-x","strict":null}})");
  EXPECT_EQ(read.tools.choice, ToolFields::Choice::kAuto);
  EXPECT_TRUE(read.tools.parallel);
}

TEST(ToolsTest, ChoicesAreRead) {
  const auto choice = [](const json& given) {
    const json body = {{"tools", {Function("f"), Function("g")}},
                       {"tool_choice", given},
                       {"parallel_tool_calls", false}};
    const Outcome read = ReadText(body.dump());
    EXPECT_TRUE(read.ok) << read.error.message;
    EXPECT_FALSE(read.tools.parallel);
    return std::pair(read.tools.choice, read.tools.forced);
  };
  using Choice = ToolFields::Choice;
  EXPECT_EQ(choice(nullptr), std::pair(Choice::kAuto, std::string()));
  EXPECT_EQ(choice("auto"), std::pair(Choice::kAuto, std::string()));
  EXPECT_EQ(choice("none"), std::pair(Choice::kNone, std::string()));
  EXPECT_EQ(choice("required"), std::pair(Choice::kRequired, std::string()));
  EXPECT_EQ(choice(Function("g")), std::pair(Choice::kRequired, std::string("g")));
  EXPECT_EQ(ReadText(R"({"tool_choice": "auto"})").tools.choice, Choice::kNone);
  EXPECT_TRUE(ReadText(R"({"tools": [], "tool_choice": "none"})").ok);
}

TEST(ToolsTest, MistakesAreNamed) {
  json many = json::array(), deep = json::object();
  for (int i = 0; i < 129; ++i) many.push_back(Function("f" + std::to_string(i)));
  for (int i = 0; i < 11'000; ++i) deep["k" + std::to_string(i)] = 1;
  const struct {
    json body;
    std::string param, code = "invalid_value";
  } cases[] = {
      {{{"tools", 5}}, "tools", "invalid_type"},
      {{{"tools", {5}}}, "tools[0]", "invalid_type"},
      {{{"tools", {Function("f"), {{"type", "web_search"}}}}}, "tools[1].type"},
      {{{"tools", {{{"type", "function"}}}}}, "tools[0].function", "missing_required_parameter"},
      {{{"tools", {{{"type", "function"}, {"function", "f"}}}}},
       "tools[0].function",
       "invalid_type"},
      {{{"tools", {{{"type", "function"}, {"function", json::object()}}}}},
       "tools[0].function.name",
       "missing_required_parameter"},
      {{{"tools", {Function("get weather")}}}, "tools[0].function.name"},
      {{{"tools", {Function("<|im_end|>")}}}, "tools[0].function.name"},
      {{{"tools", {Function(std::string(65, 'a'))}}}, "tools[0].function.name"},
      {{{"tools", {Function("f"), Function("f")}}}, "tools[1].function.name"},
      {{{"tools", {Function("f", {{"description", 5}})}}},
       "tools[0].function.description",
       "invalid_type"},
      {{{"tools", {Function("f", {{"strict", 1}})}}}, "tools[0].function.strict", "invalid_type"},
      {{{"tools", {Function("f", {{"parameters", {1}}})}}},
       "tools[0].function.parameters",
       "invalid_type"},
      {{{"tools", {Function("f", {{"parameters", {{"type", "string"}}}})}}},
       "tools[0].function.parameters"},
      {{{"tools", many}}, "tools", "array_above_max_length"},
      {{{"tools", {Function("f", {{"parameters", deep}})}}}, "tools", "string_above_max_length"},
      {{{"tools", {Function("f", {{"description", std::string(300'000, 'x')}})}}},
       "tools",
       "string_above_max_length"},
      {{{"tool_choice", "required"}}, "tool_choice"},
      {{{"tools", {Function("f")}}, {"tool_choice", "always"}}, "tool_choice"},
      {{{"tools", {Function("f")}}, {"tool_choice", Function("g")}}, "tool_choice"},
      {{{"tools", {Function("f")}}, {"tool_choice", {{"type", "function"}}}}, "tool_choice"},
      {{{"tools", {Function("f")}},
        {"tool_choice", {{"type", "function"}, {"function", json::object()}}}},
       "tool_choice.function.name",
       "missing_required_parameter"},
      {{{"parallel_tool_calls", "yes"}}, "parallel_tool_calls", "invalid_type"},
      {{{"functions", {Function("f")}}}, "functions", "unsupported_parameter"},
      {{{"function_call", "auto"}}, "function_call", "unsupported_parameter"},
  };
  for (const auto& [body, param, code] : cases) {
    const Outcome read = ReadText(body.dump());
    EXPECT_FALSE(read.ok) << body.dump().substr(0, 300);
    EXPECT_EQ(read.error.param, param) << read.error.message;
    EXPECT_EQ(read.error.code, code) << read.error.message;
  }
  EXPECT_NE(ReadText(R"({"functions": [1]})").error.message.find("'tools'"), std::string::npos);
}

json Call(const std::string& id, const json& more = json::object()) {
  json function = {{"name", "f"}, {"arguments", "{\"b\": 1, \"a\": [2]}"}};
  function.update(more);
  return {{"id", id}, {"type", "function"}, {"function", function}};
}
json Chat(const std::vector<json>& messages) { return {{"messages", messages}}; }
json Calling(const json& calls) {
  return {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", calls}};
}
json Calling(std::initializer_list<json> calls) { return Calling(json(std::vector<json>(calls))); }
json Result(const json& id) {
  return {{"role", "tool"}, {"tool_call_id", id}, {"content", "sunny"}};
}

TEST(ChatMessagesTest, ReadCallsAndTheirResults) {
  const Outcome read =
      ReadText(Chat({Calling({Call("c1"), Call("c2", {{"arguments", ""}})}),
                     Result("c2"),
                     Result("c1"),
                     {{"role", "assistant"}, {"content", "x"}, {"tool_calls", {}}}})
                   .dump());
  ASSERT_TRUE(read.ok) << read.error.message;
  ASSERT_EQ(read.messages.size(), 4u);
  EXPECT_EQ(read.messages[0].content, "");
  ASSERT_EQ(read.messages[0].tool_calls.size(), 2u);
  EXPECT_EQ(read.messages[0].tool_calls[0].id, "c1");
  EXPECT_EQ(read.messages[0].tool_calls[0].arguments.dump(), R"({"b":1,"a":[2]})");
  EXPECT_EQ(read.messages[0].tool_calls[1].arguments.dump(), "{}");
  EXPECT_EQ(read.messages[1].tool_call_id, "c2");
  EXPECT_EQ(read.messages[1].name, "f");
  EXPECT_EQ(read.messages[1].content, "sunny");
  EXPECT_TRUE(read.messages[3].tool_calls.empty());
}

TEST(ChatMessagesTest, MistakesAreNamed) {
  std::string numbers = "{\"a\": [0";
  for (int i = 0; i < 20'000; ++i) numbers += ",0";
  const std::string calls = "messages[0].tool_calls";
  const struct {
    json body;
    std::string param, code = "invalid_value";
  } cases[] = {
      {Chat({Calling(5)}), calls, "invalid_type"},
      {Chat({Calling({5})}), calls + "[0]", "invalid_type"},
      {Chat({Calling(json(129, Call("c")))}), calls, "array_above_max_length"},
      {Chat({Calling({{{"function", {{"name", "f"}}}}})}), calls + "[0].id",
       "missing_required_parameter"},
      {Chat({Calling({Call(std::string(257, 'c'))})}), calls + "[0].id", "string_above_max_length"},
      {Chat({Calling({{{"id", "c"}}})}), calls + "[0].function", "missing_required_parameter"},
      {Chat({Calling({{{"id", "c"}, {"function", 5}}})}), calls + "[0].function", "invalid_type"},
      {Chat({Calling({{{"id", "c"}, {"type", "x"}}})}), calls + "[0].type"},
      {Chat({Calling({Call("c", {{"name", "a b"}})})}), calls + "[0].function.name"},
      {Chat({Calling({Call("c", {{"arguments", {1}}})})}), calls + "[0].function.arguments",
       "invalid_type"},
      {Chat({Calling({Call("c"), Call("d", {{"arguments", "{"}})})}),
       calls + "[1].function.arguments"},
      {Chat({Calling({Call("c", {{"arguments", "[1]"}})})}), calls + "[0].function.arguments"},
      {Chat({Calling({Call("c", {{"arguments", numbers + "]}"}})})}),
       calls + "[0].function.arguments"},
      {Chat({{{"role", "user"}, {"content", "x"}, {"tool_calls", {Call("c")}}}}), calls},
      {Chat({Result("c")}), "messages[0].tool_call_id"},
      {Chat({Result("c"), Calling({Call("c")})}), "messages[0].tool_call_id"},
      {Chat({Calling({Call("c")}), Result(nullptr)}), "messages[1].tool_call_id",
       "missing_required_parameter"},
      {Chat({Calling({Call("c")}), Result(7)}), "messages[1].tool_call_id", "invalid_type"},
      {Chat({Calling({Call("c")}), {{"role", "tool"}, {"tool_call_id", "c"}}}),
       "messages[1].content", "missing_required_parameter"},
      {Chat({{{"role", "function"}, {"content", "x"}}}), "messages[0].role"},
      {Chat({{{"role", "assistant"}, {"content", "x"}, {"function_call", {{"name", "f"}}}}}),
       "messages[0].function_call", "unsupported_parameter"},
  };
  for (const auto& [body, param, code] : cases) {
    const Outcome read = ReadText(body.dump());
    EXPECT_FALSE(read.ok) << body.dump().substr(0, 300);
    EXPECT_EQ(read.error.param, param) << read.error.message;
    EXPECT_EQ(read.error.code, code) << read.error.message;
  }
}

TEST(ToolFormatTest, FollowsTheTemplatesText) {
  EXPECT_EQ(ToolFormatOf("{{ '<tool_call>' }}"), ToolFormat::kHermes);
  EXPECT_EQ(ToolFormatOf("<|start_header_id|> <tool_call>"), ToolFormat::kHermes);
  EXPECT_EQ(ToolFormatOf("<|start_header_id|>"), ToolFormat::kLlama3);
  EXPECT_EQ(ToolFormatOf("[TOOL_CALLS]"), ToolFormat::kMistral);
  EXPECT_EQ(ToolFormatOf("<tool_call>\n<function="), ToolFormat::kNone);
  EXPECT_EQ(ToolFormatOf("User:"), ToolFormat::kNone);
  EXPECT_EQ(*ParseToolFormat("hermes"), ToolFormat::kHermes);
  EXPECT_FALSE(ParseToolFormat("hermse").ok());
  EXPECT_EQ(NewCallId(ToolFormat::kMistral).size(), 9u);
  EXPECT_TRUE(NewCallId(ToolFormat::kHermes).starts_with("call_"));
}

// Two tools, one of whose schemas refers to itself and within itself.
ToolFields TwoTools() {
  const json point = {
      {"type", "object"},
      {"properties", {{"$ref", {{"type", "boolean"}}}, {"x", {{"$ref", "#/$defs/n"}}}}},
      {"required", {"$ref", "x"}},
      {"$defs", {{"n", {{"enum", {1, 2}}}}}}};
  const json body = {{"tools", {Function("f"), Function("go_far", {{"parameters", point}})}}};
  Outcome read = ReadText(body.dump());
  EXPECT_TRUE(read.ok) << read.error.message;
  read.tools.choice = ToolFields::Choice::kRequired;
  return read.tools;
}

std::string RandomText(const Format& format, Random* random) {
  const auto compiler = ConstraintCompiler::Make(Trained());
  const auto constraint = compiler->Compile(format, "");
  if (!constraint.ok()) return std::string(constraint.status().message());
  const auto state = (*constraint)->Start();
  std::string text;
  while (!state->complete()) {
    const std::vector<TokenId> allowed = Allowed(state.get(), Trained());
    if (allowed.empty()) return "nothing may follow " + text;
    const TokenId token = allowed[random->Below(allowed.size())];
    EXPECT_TRUE(state->Accept(token));
    if (token == Trained().end_of_text()) break;
    text += Trained().TokenBytes(token);
  }
  return text;
}

// Whatever a model would rather say: the reader finds calls in it and nothing else, and they are
// of the tools and by their schemas.
TEST(ToolFormatTest, AConfinedAnswerIsCallsAlone) {
  const ToolFields tools = TwoTools();
  Random random(3);
  size_t most_met = 0, kinds_met = 0;
  for (const ToolFormat format :
       {ToolFormat::kHermes, ToolFormat::kLlama3, ToolFormat::kMistral, ToolFormat::kNone}) {
    std::set<std::string> names_met;
    for (int round = 0; round < 12; ++round) {
      const std::string text = RandomText(CallsAlone(format, tools, 3), &random);
      auto reading = std::make_shared<ToolReading>();
      reading->format = format;
      reading->names.insert(tools.names.begin(), tools.names.end());
      reading->most = 3;
      reading->calls_alone = true;
      reading->new_id = [] { return "id"; };
      ToolCallReader reader(reading);
      const Spoken said = reader.Push(text);
      EXPECT_EQ(said.content + reader.Finish().content, "") << text;
      ASSERT_FALSE(said.calls.empty()) << text;
      most_met = std::max(most_met, said.calls.size());
      for (const CallPiece& call : said.calls) {
        names_met.insert(call.name);
        const json arguments = json::parse(call.arguments);
        if (call.name == "f") {
          EXPECT_EQ(arguments, json::object());
        } else {
          EXPECT_TRUE(arguments.at("$ref").is_boolean() && arguments.size() == 2) << text;
          EXPECT_TRUE(arguments.at("x") == 1 || arguments.at("x") == 2) << text;
        }
      }
    }
    kinds_met += names_met.size();
  }
  EXPECT_EQ(most_met, 3u);
  EXPECT_EQ(kinds_met, 8u);
}

// Either is met, and each is by its schema.
TEST(ToolFormatTest, JsonOfOnesOwnMayComeInsteadOfCalls) {
  const ToolFields tools = TwoTools();
  const Format answer = {
      FormatKind::kJsonSchema,
      R"({"type": "object", "properties": {"name": {"$ref": "#/$defs/n"}}, "required": ["name"],
          "$defs": {"n": {"enum": ["f", "go_far"]}}})"};
  Random random(5);
  for (const ToolFormat format : {ToolFormat::kHermes, ToolFormat::kLlama3, ToolFormat::kMistral}) {
    int calls_met = 0, answers_met = 0;
    for (int round = 0; round < 20; ++round) {
      const std::string text = RandomText(CallsAlone(format, tools, 2, answer), &random);
      auto reading = std::make_shared<ToolReading>();
      reading->format = format;
      reading->names.insert(tools.names.begin(), tools.names.end());
      reading->most = 2;
      reading->calls_alone = true;
      reading->new_id = [] { return "id"; };
      ToolCallReader reader(reading);
      const Spoken said = reader.Push(text);
      const std::string content = said.content + reader.Finish().content;
      EXPECT_NE(said.calls.empty(), content.empty()) << text;
      (said.calls.empty() ? answers_met : calls_met) += 1;
      if (said.calls.empty()) {
        const json read = json::parse(content);
        EXPECT_TRUE(read.at("name") == "f" || read.at("name") == "go_far") << text;
        EXPECT_EQ(read.size(), 1u);
      }
    }
    EXPECT_GT(calls_met, 0);
    EXPECT_GT(answers_met, 0);
  }
}

TEST(ToolFormatTest, ANamedToolIsTheOnlyOneAndAloneWhereCallsAreNotParallel) {
  ToolFields tools = TwoTools();
  tools.forced = "go_far";
  Random random(4);
  const std::string text = RandomText(CallsAlone(ToolFormat::kHermes, tools, 3), &random);
  EXPECT_TRUE(text.starts_with("<tool_call>\n{")) << text;
  EXPECT_NE(text.find("\"go_far\""), std::string::npos) << text;
  tools.forced = "";
  tools.parallel = false;
  EXPECT_EQ(CallsAlone(ToolFormat::kHermes, tools, 3).calls.most, 1);
}

// As many tools as there may be, whose names begin alike: each can be called.
TEST(ToolFormatTest, ManyToolsFit) {
  json tools = json::array();
  const json text = {{"type", "string"}};
  for (int i = 0; i < 128; ++i)
    tools.push_back(Function(
        "tool_" + std::to_string(i),
        {{"parameters",
          {{"type", "object"},
           {"properties", {{"a", text}, {"b", text}, {"c", text}, {"d", text}, {"e", text}}}}}}));
  Outcome read = ReadText(json{{"tools", tools}, {"tool_choice", "required"}}.dump());
  ASSERT_TRUE(read.ok) << read.error.message;
  const auto compiler = ConstraintCompiler::Make(Trained());
  const auto constraint = compiler->Compile(CallsAlone(ToolFormat::kHermes, read.tools, 64), "");
  ASSERT_TRUE(constraint.ok()) << constraint.status();
  for (const std::string& name : read.tools.names) {
    const auto state = (*constraint)->Start();
    EXPECT_TRUE(Accepts(
        state.get(), Trained(),
        "<tool_call>\n{\"name\": \"" + name + "\", \"arguments\": {\"b\": \"x\"}}\n</tool_call>"))
        << name;
  }
}

// A chat model's own end of turn may end it, not its end of text alone.
TEST(ToolFormatTest, TheTokensThatEndAnAnswerMayComeAfterACall) {
  const auto tokenizer = model::Tokenizer::Bytes({"<|endoftext|>", "<|im_end|>"});
  const TokenId end = *tokenizer.Special("<|im_end|>");
  Format format = CallsAlone(ToolFormat::kHermes, TwoTools(), 3);
  format.ends = {end};
  const auto compiler = ConstraintCompiler::Make(tokenizer);
  const auto state = (*compiler->Compile(format, ""))->Start();
  EXPECT_FALSE(state->Accept(end));
  for (const TokenId token :
       tokenizer.Encode("<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>"))
    ASSERT_TRUE(state->Accept(token));
  EXPECT_FALSE(state->complete());
  const std::vector<TokenId> allowed = Allowed(state.get(), tokenizer);
  EXPECT_EQ(allowed.size(), 3u);  // both ends, and the next call's line break
  EXPECT_TRUE(state->Accept(end));
  EXPECT_TRUE(state->complete());
}

TEST(ToolFormatTest, ASchemaThatCannotBeReadIsNamedByItsTool) {
  const json body = {
      {"tools", {Function("f", {{"parameters", {{"properties", {{"x", {{"not", {}}}}}}}}})}}};
  Outcome read = ReadText(body.dump());
  ASSERT_TRUE(read.ok);
  const auto compiler = ConstraintCompiler::Make(Trained());
  const auto refused = compiler->Compile(CallsAlone(ToolFormat::kHermes, read.tools, 1), "");
  EXPECT_EQ(std::string(refused.status().message()),
            "#/$defs/f/properties/x/not: not is not supported");
}

}  // namespace
}  // namespace longrun::serving
