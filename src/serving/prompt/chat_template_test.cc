#include "serving/prompt/chat_template.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "gtest/gtest.h"
#include "model/tokenizer_config.h"
#include "serving/prompt/prompt_encoder.h"

namespace longrun::serving {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

const std::vector<ChatMessage>& Messages() {
  static const std::vector<ChatMessage> messages = {{"system", "Be brief.", ""},
                                                    {"user", "Hi!", ""},
                                                    {"assistant", "Hello.", ""},
                                                    {"user", " And now? ", ""}};
  return messages;
}

// The text, or "error: " and why not.
std::string Rendered(const absl::StatusOr<ChatTemplate>& made, const ChatPrompt& prompt) {
  if (!made.ok()) return "error: " + std::string(made.status().message());
  const auto segments = made->Render(prompt);
  if (!segments.ok()) return "error: " + std::string(segments.status().message());
  std::string text;
  for (const Segment& segment : *segments) text += segment.text;
  return text;
}
std::string Rendered(const absl::StatusOr<ChatTemplate>& made,
                     const std::vector<ChatMessage>& messages = Messages(),
                     const json& variables = {}) {
  return Rendered(made, ChatPrompt{messages, variables});
}
ordered_json Tool(const std::string& name) {
  return {{"type", "function"}, {"function", {{"name", name}}}};
}
absl::StatusOr<ChatTemplate> Make(const std::string& source) {
  return ChatTemplate::Make(source, "chat_template.jinja", {"<s>", "</s>"});
}

TEST(ChatTemplateTest, BuiltInOnesWriteWhatTheirModelsWereTrainedOn) {
  EXPECT_EQ(Rendered(ChatTemplate::BuiltIn("plain", {})),
            "System: Be brief.\nUser: Hi!\nAssistant: Hello.\nUser: And now?\nAssistant:");
  EXPECT_EQ(Rendered(ChatTemplate::BuiltIn("chatml", {})),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n"
            "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\n And now? <|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(Rendered(ChatTemplate::BuiltIn("llama3", {})),
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi!<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nAnd now?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(Rendered(ChatTemplate::BuiltIn("llama2", {})),
            "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi! [/INST] Hello. </s>"
            "<s>[INST] And now? [/INST]");
  EXPECT_EQ(Rendered(ChatTemplate::BuiltIn("chatlm", {})),
            "error: there is no chat template \"chatlm\"; chatml, llama3, llama2 and plain are "
            "there; did you mean \"chatml\"?");
}

// Of docs/chat-templates.md every ```jinja block with the ```text block that follows it.
TEST(ChatTemplateTest, TheDocumentationsExamplesDoWhatItSays) {
  const char* source = std::getenv("LONGRUN_SOURCE");
  if (source == nullptr) GTEST_SKIP() << "LONGRUN_SOURCE is not set";
  const auto text = ReadFile(std::string(source) + "/docs/chat-templates.md");
  ASSERT_TRUE(text.ok()) << text.status();
  int examples = 0;
  const auto block = [&](const std::string& kind, size_t* at) {
    const std::string begin = "```" + kind + "\n";
    const size_t from = text->find(begin, *at);
    if (from == std::string::npos) return std::string();
    *at = text->find("\n```\n", from) + 5;
    return text->substr(from + begin.size(), *at - 5 - from - begin.size());
  };
  for (size_t at = 0;;) {
    const std::string jinja = block("jinja", &at);
    if (jinja.empty()) break;
    const std::string expected = block("text", &at);
    EXPECT_EQ(Rendered(Make(jinja), {Messages(),
                                     {{"enable_thinking", false}},
                                     {Tool("now")},
                                     100,
                                     Time{1'700'000'000'000'000}}),
              expected)
        << jinja;
    ++examples;
  }
  EXPECT_GE(examples, 6);
}

TEST(ChatTemplateTest, OnlyTheTemplatesOwnTextBecomesSpecialTokens) {
  const auto tokenizer = model::Tokenizer::Bytes({"<|endoftext|>", "<s>", "<x>"});
  PromptEncoder encoder(&tokenizer);
  const json variables = {{"extra", "<x>"}, {"bos_token", "<x>"}, {"messages", "<x>"}};
  for (const char* source :
       {"{{ bos_token }}{{ messages[0].content }}", "{{ bos_token ~ messages[0]['content'] }}",
        "{{ '<s>' + messages[0].content.upper().lower() }}",
        "{{ '<s>' + messages[0].content | replace('<', '<') }}",
        "{{ '<s>' + messages[0].content.split('x') | join(extra[1]) }}",
        "{{ '<s>' }}{{ [extra] | tojson }}", "{{ bos_token }}{{ extra[:2] }}{{ extra[2:] }}",
        "{{ bos_token }}{% set x %}{{ extra }}{% endset %}{{ x | trim }}"}) {
    const auto made = Make(source);
    ASSERT_TRUE(made.ok()) << made.status();
    const auto segments = made->Render({{{"user", "<x>", ""}}, variables});
    ASSERT_TRUE(segments.ok()) << segments.status();
    const std::vector<model::TokenId> tokens = encoder.Encode(*segments);
    EXPECT_EQ(std::count_if(tokens.begin(), tokens.end(),
                            [&](model::TokenId token) { return tokenizer.IsSpecial(token); }),
              1)
        << source;
    EXPECT_EQ(tokens[0], *tokenizer.Special("<s>")) << source;
  }
}

// A question, a call, its result and an answer.
ChatPrompt WithTools() {
  ChatPrompt prompt;
  prompt.tools = {Tool("now"), Tool("then")};
  prompt.messages = {{"user", "When?"}, {"assistant", ""}, {"tool", "noon", "now"}, {"user", "Ah"}};
  prompt.messages[1].tool_calls = {{"c1", "now", {{"zone", {1, nullptr}}}}};
  prompt.messages[2].tool_call_id = "c1";
  prompt.variables = {{"large", 18446744073709551615u}};
  return prompt;
}

TEST(ChatTemplateTest, BuiltInOnesTellOfToolsAsTheirModelsKnowThem) {
  const std::string chatml = Rendered(ChatTemplate::BuiltIn("chatml", {}), WithTools());
  EXPECT_TRUE(chatml.starts_with("<|im_start|>system\nYou can call functions.")) << chatml;
  EXPECT_NE(chatml.find("<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"now\"}}\n"
                        "{\"type\": \"function\", \"function\": {\"name\": \"then\"}}\n</tools>\n"),
            std::string::npos)
      << chatml;
  EXPECT_TRUE(chatml.ends_with(
      "</tool_call><|im_end|>\n<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\n"
      "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"zone\": [1, null]}}\n</tool_call>"
      "<|im_end|>\n<|im_start|>user\n<tool_response>\nnoon\n</tool_response><|im_end|>\n"
      "<|im_start|>user\nAh<|im_end|>\n<|im_start|>assistant\n"))
      << chatml;

  const std::string llama3 = Rendered(ChatTemplate::BuiltIn("llama3", {}), WithTools());
  EXPECT_NE(llama3.find("{\n    \"type\": \"function\",\n"), std::string::npos) << llama3;
  EXPECT_TRUE(
      llama3.ends_with("<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nWhen?<|eot_id|>"
                       "<|start_header_id|>assistant<|end_header_id|>\n\n"
                       "{\"name\": \"now\", \"parameters\": {\"zone\": [1, null]}}<|eot_id|>"
                       "<|start_header_id|>ipython<|end_header_id|>\n\nnoon<|eot_id|>"
                       "<|start_header_id|>user<|end_header_id|>\n\nAh<|eot_id|>"
                       "<|start_header_id|>assistant<|end_header_id|>\n\n"))
      << llama3;

  // Neighbouring results are one turn; the system's own words come first.
  ChatPrompt prompt = WithTools();
  prompt.messages.insert(prompt.messages.begin(), {"system", "Be brief."});
  prompt.messages.insert(prompt.messages.begin() + 4, {"tool", "one", "now"});
  const std::string two = Rendered(ChatTemplate::BuiltIn("chatml", {}), prompt);
  EXPECT_TRUE(two.starts_with("<|im_start|>system\nBe brief.\n\nYou can")) << two;
  EXPECT_NE(two.find("noon\n</tool_response>\n<tool_response>\none\n</tool_response><|im_end|>"),
            std::string::npos)
      << two;
  for (const auto& [name, takes] :
       {std::pair("chatml", true), {"llama3", true}, {"llama2", false}, {"plain", false}})
    EXPECT_EQ(ChatTemplate::BuiltIn(name, {})->takes_tools(), takes) << name;
}

// The forms in which the templates of common families ask for tools.
TEST(ChatTemplateTest, TemplatesReadToolsAndCallsAsTransformersHandsThemOn) {
  for (const auto& [source, expected] : {
           std::pair("{{ tools is none }} {{ tools is defined }}", "False True"),
           {"{% for k, v in tools[0].items() if k != 'type' %}{{ k }}={{ v | tojson }}{% endfor %}",
            "function={\"name\": \"now\"}"},
           {"{{ 'tool_calls' in messages[1] }}{{ 'tool_calls' in messages[0] }}", "TrueFalse"},
           {"{{ messages | rejectattr('tool_calls', 'undefined') | list | length }}", "1"},
           {"{% for c in messages[1].tool_calls %}{{ c.id ~ c.type ~ c['function']['name'] }}"
            "{{ c.function.arguments is mapping }}{{ c.function.arguments.zone[0] + 1 }}"
            "{% for k, v in c.function.arguments | items %}{{ k }}{% endfor %}{% endfor %}",
            "c1functionnowTrue2zone"},
           {"{% set out = messages[1].tool_calls[0].function | tojson %}{{ out[:-1] }}",
            "{\"name\": \"now\", \"arguments\": {\"zone\": [1, null]}"},
           {"{{ messages[2].name ~ messages[2].tool_call_id ~ messages[2].content }}", "nowc1noon"},
           {"{{ nothing is iterable and nothing is sequence }}{{ none is iterable }}", "TrueFalse"},
           {"{{ {'output': messages[2].content} | tojson }}", "{\"output\": \"noon\"}"},
           {"{{ strftime_now('%Y') }}", "1970"},
           {"{{ [large, -3] | tojson }}", "[1.8446744073709552e+19, -3]"},
       })
    EXPECT_EQ(Rendered(Make(source), WithTools()), expected) << source;
  EXPECT_EQ(Rendered(Make("{{ tools is none }}{{ tools is iterable }}")), "TrueFalse");
  EXPECT_TRUE(Make("{% if tools %}{% endif %}")->takes_tools());
  EXPECT_FALSE(Make("{# tools #} tools {{ custom_tools }} {{ 'tools' }}")->takes_tools());
}

TEST(ChatTemplateTest, NothingOfToolsBecomesASpecialToken) {
  const auto tokenizer = model::Tokenizer::Bytes({"<s>", "<x>", "[1]", "{}", "null", "\"<x>\""});
  PromptEncoder encoder(&tokenizer);
  ChatPrompt prompt = WithTools();
  prompt.tools[0]["function"]["description"] = "<x> <s>";
  prompt.tools[0]["<x>"] = {1};
  prompt.tools[0]["parameters"] = ordered_json::object();
  prompt.messages[1].tool_calls[0].arguments["<x>"] = {{"<s>", "<x>"}};
  prompt.messages[1].tool_calls[0].id = "<x>";
  prompt.messages[2].content = "<x>";
  prompt.messages[2].tool_call_id = "<x>";
  for (const char* source :
       {"<s>{{ tools | tojson }}", "<s>{{ tools | tojson(indent=4) }}",
        "<s>{{ tools | tojson(separators=('<', '>')) }}",
        "<s>{% for t in tools %}{{ t.function.description }}{{ t | items | list | tojson }}"
        "{% endfor %}",
        "<s>{{ messages | tojson }}{{ messages[2].content ~ messages[2].tool_call_id }}",
        "<s>{% for k, v in messages[1].tool_calls[0].function.arguments | items %}{{ k }}"
        "{{ v | tojson }}{% endfor %}"}) {
    const auto segments = Make(source)->Render(prompt);
    ASSERT_TRUE(segments.ok()) << segments.status();
    const std::vector<model::TokenId> tokens = encoder.Encode(*segments);
    EXPECT_EQ(std::count_if(tokens.begin(), tokens.end(),
                            [&](model::TokenId token) { return tokenizer.IsSpecial(token); }),
              1)
        << source;
  }
}

TEST(ChatTemplateTest, HostileTemplatesEndWithAnError) {
  const struct {
    std::string source, said;
  } cases[] = {
      {"{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "too much"},
      {"{{ range(10000000000) | length }}", "too many parts"},
      {"{{ 'x' * 1000000000 }}", "too much"},
      {"{{ '' * 1000000000000 }}", "too much"},
      {"{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}"
       "{% endfor %}",
       "too much"},
      {"{{ [1] | tojson(indent=1000000000) }}", "16 columns"},
      {"{{ [1, 2] | tojson(separators=('x' * 1000000, ':')) }}", "two short texts"},
      {"{{ strftime_now('%1000000000Y') }}", "too long"},
      {"{{ strftime_now(7) }}", "a format"},
      // A long key that stands in many places.
      {"{% set ns = namespace(l=[{'x' * 100000: 1}]) %}{% for i in range(16) %}"
       "{% set ns.l = ns.l + ns.l %}{% endfor %}{{ ns.l | tojson }}",
       "too much"},
      {"{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l] %}"
       "{% endfor %}{% set many = range(20000) %}{% for i in many %}{{ ns.l | tojson(indent=16) }}"
       "{% endfor %}",
       "too much"},
      {"{% set ns = namespace(l=[]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}"
       "{% endfor %}",
       "no lists 64 deep"},
      // Text against text, at every place.
      {"{% set x = 'a' * 1000000 %}{{ x.strip('b' * 1000000 + 'a') }}", "too much"},
      {"{% set x = 'a' * 1000000 %}{{ 'a' * 500000 + 'b' in x }}", "too much"},
      {"{% set x = 'a' * 1000000 %}{{ x | replace('a' * 500000 + 'b', '') }}", "too much"},
      {"{% set x = 'a' * 4000000 %}{% for i in range(100000) %}{{ x == x }}{% endfor %}",
       "too much"},
      {"{% macro m(n) %}{{ m(n) }}{% endmacro %}{{ m(1) }}", "deep"},
      {"{{ (-4 * 2 ** 61) | abs }}", "beyond 64 bits"},
      {"{{ 2 ** 64 }}", "beyond 64 bits"},
      {"{{ 1 // 0 }}", "division by 0"},
      {"{{ " + std::string(101, '(') + "1" + std::string(101, ')') + " }}", "100 deep"},
      {"{% set ns = namespace() %}{% set ns.x = ns %}", "namespace"},
  };
  for (const auto& [source, said] : cases) {
    const std::string text = Rendered(Make(source));
    EXPECT_TRUE(text.starts_with("error: ") && text.find(said) != std::string::npos)
        << source << "\n"
        << text.substr(0, 200);
  }
}

TEST(ChatTemplateTest, LongMessagesTakeTimeInProportion) {
  // Words are cut off the front one by one without copying the rest.
  std::string words;
  for (int i = 0; i < 1'000'000; ++i) words += "a ";
  EXPECT_EQ(Rendered(Make("{{ messages[0].content.split()[0] }}"), {{"user", words, ""}}), "a");
  EXPECT_EQ(Rendered(Make("{{ messages[0].content.split(none, 1)[1].split() | length }}"),
                     {{"user", " \xC2\xA0x  y z ", ""}}),
            "2");
  const std::vector<ChatMessage> many(4096, {"user", "hello", ""});
  EXPECT_FALSE(Rendered(ChatTemplate::BuiltIn("llama2", {}), many).starts_with("error"));
}

// A value takes a hundred bytes and more: a message of 16 MB cut at every letter would take
// gigabytes.
TEST(ChatTemplateTest, ALongMessageIsNotCutIntoPiecesWithoutEnd) {
  const std::vector<ChatMessage> lines = {{"user", std::string(2 << 20, '\n'), ""}};
  for (const char* cut : {".split('\n') | length", ".splitlines() | length", " | list | length",
                          " | reverse", " | first", "[::2]", " | join(',')", " | map('trim')"}) {
    const std::string said =
        Rendered(Make("{{ messages[0].content" + std::string(cut) + " }}"), lines);
    EXPECT_TRUE(said.ends_with("too many parts")) << cut << ": " << said.substr(0, 200);
  }
  EXPECT_TRUE(Rendered(Make("{% for c in messages[0].content %}{% endfor %}"), lines)
                  .ends_with("too many parts"));
  EXPECT_TRUE(Rendered(Make("{{ range(messages[0].content | length) | length }}"), lines)
                  .ends_with("too many parts"));
  // What makes one of it goes on to work.
  EXPECT_EQ(
      Rendered(Make("{{ messages[0].content | length }} {{ messages[0].content[-1:] | length }} "
                    "{{ messages[0].content[7:] | length }} {{ messages[0].content[9] | length }} "
                    "{{ messages[0].content | replace('\n', 'ab') | length }}"),
               lines),
      "2097152 1 2097145 1 4194304");
}

TEST(ChatTemplateTest, TextIsCutAtItsCharactersAsPythonDoes) {
  const std::vector<ChatMessage> messages = {{"user", "aé漢🙂b", ""}};
  for (const auto& [cut, expected] : {std::pair("[1]", "é"),
                                      {"[-2]", "🙂"},
                                      {"[5]", ""},
                                      {"[-6]", ""},
                                      {"[1:3]", "é漢"},
                                      {"[-2:]", "🙂b"},
                                      {"[:-1]", "aé漢🙂"},
                                      {"[3:1]", ""},
                                      {"[9:]", ""},
                                      {"[:99]", "aé漢🙂b"},
                                      {"[::-1]", "b🙂漢éa"},
                                      {"[::2]", "a漢b"},
                                      {"[3:0:-2]", "🙂é"},
                                      {".find('b')", "4"},
                                      {" | length", "5"},
                                      {".split('漢', 1)[1]", "🙂b"},
                                      {" | list | join('-')", "a-é-漢-🙂-b"}}) {
    EXPECT_EQ(Rendered(Make("{{ messages[0].content" + std::string(cut) + " }}"), messages),
              expected)
        << cut;
  }
  EXPECT_EQ(Rendered(Make("{{ '\n'.splitlines() | length }}{{ ''.splitlines() | length }}"
                          "{{ 'a\r\n\nb'.splitlines() | join('|') }}"),
                     messages),
            "10a||b");
}

TEST(ChatTemplateTest, CallersCannotSetTheTemplatesOwnVariables) {
  const json variables = {{"bos_token", "x"},
                          {"eos_token", "x"},
                          {"add_generation_prompt", false},
                          {"messages", {1, 2}},
                          {"mine", 7}};
  EXPECT_EQ(Rendered(Make("{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}"
                          "{{ messages | length }}{{ mine }}"),
                     Messages(), variables),
            "<s></s>True47");
}

TEST(ChatTemplateTest, AFolderGivesItsTemplateAndTheTextsOfItsTokens) {
  const std::string folder = testing::TempDir() + "chat_template_test";
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(MakeFolder(folder).ok());
  const auto write = [&](const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(folder + "/" + name, text).ok());
  };
  const auto config = [&] { return *model::ReadTokenizerConfig(folder); };
  const auto texts = [&] {
    const ChatTemplateOptions options = ChatTemplate::OptionsFor(config());
    return options.bos_token + "," + options.eos_token;
  };
  EXPECT_EQ(texts(), ",");
  EXPECT_EQ(ChatTemplate::ForModel(folder, config())->name(), "plain");
  write("tokenizer_config.json", R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>",
      "chat_template": "{{ bos_token }}1{{ eos_token }}"})");
  EXPECT_EQ(texts(), "<s>,</s>");
  EXPECT_EQ(Rendered(ChatTemplate::ForModel(folder, config())), "<s>1</s>");
  write("tokenizer_config.json", R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>",
      "chat_template": [{"name": "default", "template": "{{ bos_token }}1{{ eos_token }}"},
                        {"name": "tool_use", "template": "{{ tools | length }} tools"}]})");
  EXPECT_EQ(Rendered(ChatTemplate::ForModel(folder, config())), "<s>1</s>");
  EXPECT_EQ(Rendered(ChatTemplate::ForModel(folder, config()), {Messages(), {}, {Tool("f")}}),
            "1 tools");
  EXPECT_TRUE(ChatTemplate::ForModel(folder, config())->takes_tools());
  write("chat_template.jinja", "{{ bos_token }}2");
  EXPECT_EQ(Rendered(ChatTemplate::ForModel(folder, config())), "<s>2");
  write("tokenizer_config.json", R"({"bos_token": null, "eos_token": {"content": 7}})");
  EXPECT_EQ(texts(), ",");
  write("tokenizer_config.json", R"({"chat_template": "{% if"})");
  std::filesystem::remove(folder + "/chat_template.jinja");
  EXPECT_FALSE(ChatTemplate::ForModel(folder, config()).ok());
}

TEST(ChatTemplateTest, ErrorsNameTheTemplateAndTheLine) {
  EXPECT_EQ(Rendered(Make("one\n{% include 'x' %}")),
            "error: chat_template.jinja: line 2: {% include %} is not supported; set, if, for, "
            "macro, break, continue and generation are");
  EXPECT_EQ(Rendered(Make("\n\n{{ 1 | sort }}")),
            "error: chat template: line 3: the filter sort is not supported");
  EXPECT_EQ(Rendered(Make("{% for m in messages %}")),
            "error: chat_template.jinja: line 1: {% endfor %} is missing");
}

}  // namespace
}  // namespace longrun::serving
