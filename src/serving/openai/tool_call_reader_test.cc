#include "serving/openai/tool_call_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/random.h"

namespace longrun::serving {
namespace {

std::shared_ptr<ToolReading> Reading(ToolFormat format) {
  auto reading = std::make_shared<ToolReading>();
  reading->format = format;
  reading->names = {"f", "get_weather"};
  reading->most = 4;
  reading->new_id = [n = 0]() mutable { return "id" + std::to_string(n++); };
  return reading;
}

// "content|f(arguments)|…"; pieces of one call put together, their order checked.
class Transcript {
 public:
  void Add(const Spoken& said) {
    content_ += said.content;
    for (const CallPiece& piece : said.calls) {
      if (!piece.name.empty()) {
        EXPECT_EQ(piece.index, static_cast<int64_t>(calls_.size()));
        EXPECT_EQ(piece.id, "id" + std::to_string(piece.index));
        calls_.push_back({piece.name, piece.arguments});
      } else {
        EXPECT_TRUE(piece.id.empty());
        ASSERT_EQ(piece.index + 1, static_cast<int64_t>(calls_.size()));
        calls_.back().second += piece.arguments;
      }
    }
  }
  std::string Text() const {
    std::string text = content_;
    for (const auto& [name, arguments] : calls_) text += "|" + name + "(" + arguments + ")";
    return text;
  }

 private:
  std::string content_;
  std::vector<std::pair<std::string, std::string>> calls_;
};

// With the text cut at each of `cuts`, in rising order.
std::string Read(ToolReading reading, const std::string& text, const std::vector<size_t>& cuts) {
  reading.new_id = [n = 0]() mutable { return "id" + std::to_string(n++); };
  ToolCallReader reader(std::make_shared<const ToolReading>(reading));
  Transcript transcript;
  size_t from = 0;
  for (const size_t cut : cuts) {
    transcript.Add(reader.Push(std::string_view(text).substr(from, cut - from)));
    from = cut;
  }
  transcript.Add(reader.Push(std::string_view(text).substr(from)));
  transcript.Add(reader.Finish());
  return transcript.Text();
}

// Whole, cut in two at every byte, and byte by byte: the same.
std::string ReadInAllPieces(const ToolReading& reading, const std::string& text) {
  const std::string whole = Read(reading, text, {});
  std::vector<size_t> all;
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(Read(reading, text, {cut}), whole) << "cut at " << cut << ": " << text;
    all.push_back(cut);
  }
  EXPECT_EQ(Read(reading, text, all), whole) << text;
  return whole;
}
std::string ReadInAllPieces(ToolFormat format, const std::string& text) {
  return ReadInAllPieces(*Reading(format), text);
}

struct Case {
  std::string text, read;
};
const std::string kCall = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";

TEST(ToolCallReaderTest, Hermes) {
  const Case cases[] = {
      {"Hello", "Hello"},
      {" Hello, world \n", " Hello, world \n"},
      {"", ""},
      {"\n ", "\n "},
      {kCall, "|f({\"a\": 1})"},
      {kCall + "\n", "|f({\"a\": 1})"},
      {"Sure.\n" + kCall, "Sure.|f({\"a\": 1})"},
      {kCall + "\n" + kCall, "|f({\"a\": 1})|f({\"a\": 1})"},
      {kCall + kCall + "\nDone.", "\nDone.|f({\"a\": 1})|f({\"a\": 1})"},
      {"é漢🙂\n" + kCall, "é漢🙂|f({\"a\": 1})"},
      {"<tool_call>{\"name\":\"get_weather\",\"arguments\":{}}</tool_call>", "|get_weather({})"},
      {"<tool_call>{ \"type\": \"function\", \"name\": \"f\" , \"parameters\" : {}}</tool_call>",
       "|f({})"},
      // What stands in a text ends nothing.
      {"<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"}</tool_call>\\\"}\"}}</tool_call>",
       "|f({\"x\": \"}</tool_call>\\\"}\"})"},
      {"<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": [{\"y\": []}]}, \"n\": [\"}\"]}"
       "</tool_call>.",
       ".|f({\"x\": [{\"y\": []}]})"},
      // Other heads.
      {"<tool_call>{\"arguments\": {\"a\": 1}, \"name\": \"f\"}</tool_call>", "|f({\"a\":1})"},
      {"<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>",
       "|f({\"a\": 1})"},
      {"<tool_call>{\"name\": \"f\"}</tool_call>", "|f({})"},
      {"<tool_call>{\"name\": \"f\", \"arguments\": null}</tool_call>", "|f({})"},
      // What was forgotten.
      {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}</tool_call>ok", "ok|f({\"a\": 1})"},
      {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}", "|f({\"a\": 1})"},
      {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_", "|f({\"a\": 1})"},
      {"<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": ", "|f({\"a\": )"},
      {"<tool_call>{\"name\": \"f\", \"arguments\": {}} and more", " and more|f({})"},
  };
  for (const Case& c : cases) EXPECT_EQ(ReadInAllPieces(ToolFormat::kHermes, c.text), c.read);
}

TEST(ToolCallReaderTest, WhatIsNoCallIsContentToTheLastByte) {
  for (const std::string text :
       {"<tool_call>", "<tool", "a < b <t <tool_call", "Write <tool_call> tags. ",
        "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {\"a\": 1}}\n</tool_call>\n",
        "<tool_call>{name: f}</tool_call>", "<tool_call>{\"name\": 1}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"arguments\": \"[1]\"}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"argu", "<tool_call>{}</tool_call>", "</tool_call>",
        "<tool_call>[{\"name\": \"f\", \"arguments\": {}}]</tool_call>",
        "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]",
        "{\"name\": \"f\", \"arguments\": {}}"})
    EXPECT_EQ(ReadInAllPieces(ToolFormat::kHermes, text), text);
  EXPECT_EQ(ReadInAllPieces(ToolFormat::kHermes, "<tool_call><tool_call>x " + kCall),
            "<tool_call><tool_call>x|f({\"a\": 1})");
  for (const std::string text :
       {"It is {\"name\": \"f\", \"parameters\": {}}", "{\"answer\": 42}", "{\"name\": \"Bob\"}",
        "{\"name\": \"Bob\", \"parameters\": {}}", " {", "<|python_tag|>print(1)", "<|python",
        "{\"parameters\": {}, \"name\": \"f\"}"})
    EXPECT_EQ(ReadInAllPieces(ToolFormat::kLlama3, text), text);
  for (const std::string text : {"[1, 2]", "[TOOL_CALLS]", "[TOOL_CALLS] f", "[TOOL_CALLS][",
                                 "[TOOL_CALLS][]", "[TOOL_CALLS][{\"name\": \"g\"}]"})
    EXPECT_EQ(ReadInAllPieces(ToolFormat::kMistral, text), text);
}

TEST(ToolCallReaderTest, Llama3) {
  const Case cases[] = {
      {"{\"name\": \"f\", \"parameters\": {\"a\": 1}}", "|f({\"a\": 1})"},
      {"\n {\"name\": \"f\", \"arguments\": {}}\n", "|f({})"},
      {"<|python_tag|>{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}", "|f({})"},
      {"{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"get_weather\", \"parameters\": {}}",
       "|f({})|get_weather({})"},
      {"{\"name\": \"f\", \"parameters\": {}} is it", " is it|f({})"},
      {"{\"name\": \"f\", \"parameters\": {}};", "|f({})"},
      {"{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}",
       "; {\"name\": \"g\", \"parameters\": {}}|f({})"},
  };
  for (const Case& c : cases) EXPECT_EQ(ReadInAllPieces(ToolFormat::kLlama3, c.text), c.read);
}

TEST(ToolCallReaderTest, Mistral) {
  const std::string one = "{\"name\": \"f\", \"arguments\": {\"a\": [1]}}";
  const Case cases[] = {
      {"[TOOL_CALLS][" + one + "]", "|f({\"a\": [1]})"},
      {"Well. [TOOL_CALLS] [ " + one + ", " + one + " ]", "Well.|f({\"a\": [1]})|f({\"a\": [1]})"},
      {"[TOOL_CALLS][" + one + ",", "|f({\"a\": [1]})"},
      {"[TOOL_CALLS][" + one + ", 5]", ", 5]|f({\"a\": [1]})"},
      {"[TOOL_CALLS][" + one + "] [TOOL_CALLS][" + one + "]", "|f({\"a\": [1]})|f({\"a\": [1]})"},
  };
  for (const Case& c : cases) EXPECT_EQ(ReadInAllPieces(ToolFormat::kMistral, c.text), c.read);
  ToolReading alone = *Reading(ToolFormat::kMistral);
  alone.calls_alone = true;
  EXPECT_EQ(ReadInAllPieces(alone, "[" + one + ", " + one + "]"),
            "|f({\"a\": [1]})|f({\"a\": [1]})");
}

TEST(ToolCallReaderTest, CallsBeyondTheMostAreLeftOutAndTheTextBesideThemIsNot) {
  ToolReading reading = *Reading(ToolFormat::kHermes);
  reading.most = 1;
  EXPECT_EQ(ReadInAllPieces(reading, "a " + kCall + " b " + kCall + " c"), "a b c|f({\"a\": 1})");
}

TEST(ToolCallReaderTest, ArgumentsComeAsTheyAreWritten) {
  ToolCallReader reader(Reading(ToolFormat::kHermes));
  EXPECT_TRUE(reader.Push("<tool_call>{\"name\": \"f\", \"arguments\": ").calls.empty());
  const Spoken first = reader.Push("{\"cit");
  ASSERT_EQ(first.calls.size(), 1u);
  EXPECT_EQ(first.calls[0].name, "f");
  EXPECT_EQ(first.calls[0].arguments, "{\"cit");
  const Spoken second = reader.Push("y\": 1");
  ASSERT_EQ(second.calls.size(), 1u);
  EXPECT_EQ(second.calls[0].name, "");
  EXPECT_EQ(second.calls[0].arguments, "y\": 1");
}

// Fragments of calls in any order: no cut makes a difference, and what is held stays small.
TEST(ToolCallReaderTest, RandomTextsReadTheSameHoweverTheyAreCut) {
  const std::string fragments[] = {"<tool_call>",
                                   "</tool_call>",
                                   "[TOOL_CALLS]",
                                   "<|python_tag|>",
                                   "{\"name\": \"f\", ",
                                   "\"arguments\": {",
                                   "\"parameters\": ",
                                   "}",
                                   "]",
                                   "[",
                                   "{",
                                   ",",
                                   ";",
                                   " ",
                                   "\n",
                                   "\"",
                                   "\\",
                                   "\"name\"",
                                   ":",
                                   "text",
                                   "<",
                                   "é",
                                   "1",
                                   "\"id\": \"x\", ",
                                   "null"};
  Random random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    const uint64_t count = 1 + random.Below(14);
    for (uint64_t i = 0; i < count; ++i) text += fragments[random.Below(std::size(fragments))];
    ToolReading reading = *Reading(std::vector{ToolFormat::kHermes, ToolFormat::kLlama3,
                                               ToolFormat::kMistral}[random.Below(3)]);
    reading.calls_alone = random.Chance(0.3);
    const std::string whole = Read(reading, text, {});
    std::vector<size_t> cuts;
    for (size_t at = 0; at < text.size(); ++at)
      if (random.Chance(0.5)) cuts.push_back(at);
    ASSERT_EQ(Read(reading, text, cuts), whole) << text;
  }
}

TEST(ToolCallReaderTest, EndlessHeadsAndBlanksAreHeldNoLongerThanTheyMay) {
  ToolCallReader reader(Reading(ToolFormat::kHermes));
  std::string content = reader.Push(std::string(300'000, '\n')).content;
  EXPECT_LE(reader.held_bytes(), 2048u);
  content += reader.Push("<tool_call>{\"name\": \"").content;
  content += reader.Push(std::string(300'000, 'a')).content;
  EXPECT_LE(reader.held_bytes(), size_t{70'000});
  content += reader.Finish().content;
  EXPECT_EQ(content,
            std::string(300'000, '\n') + "<tool_call>{\"name\": \"" + std::string(300'000, 'a'));
}

TEST(ToolCallReaderTest, BlanksWhereACallMustComeAreHeldNoLongerThanTheyMay) {
  const std::string blanks(300'000, ' ');
  for (const auto& [format, before] :
       {std::pair(ToolFormat::kHermes, "<tool_call>"), std::pair(ToolFormat::kLlama3, ""),
        std::pair(ToolFormat::kMistral, "[TOOL_CALLS] ["),
        std::pair(ToolFormat::kLlama3, "<|python_tag|>")}) {
    ToolCallReader reader(Reading(format));
    const std::string text = before + blanks;
    std::string content = reader.Push(text).content;
    EXPECT_LE(reader.held_bytes(), 4096u) << before;
    content += reader.Finish().content;
    EXPECT_EQ(content, text);
  }
}

}  // namespace
}  // namespace longrun::serving
