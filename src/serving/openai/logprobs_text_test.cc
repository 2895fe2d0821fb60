#include "serving/openai/logprobs_text.h"

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "gtest/gtest.h"
#include "serving/openai/json_text.h"

namespace longrun::serving {
namespace {

using nlohmann::json;

constexpr TokenId kSpecial = 256;

const model::Tokenizer& Bytes() {
  static const model::Tokenizer tokenizer = model::Tokenizer::Bytes();
  return tokenizer;
}

// A byte's token with the logprob -1.
Logprobs One(uint8_t byte) { return {.chosen = {Bytes().ByteToken(byte), -1}}; }
std::vector<Logprobs> Of(std::string_view text) {
  std::vector<Logprobs> all;
  for (const char c : text) all.push_back(One(static_cast<uint8_t>(c)));
  return all;
}
json Take(LogprobsText& text) {
  std::string all;
  text.TakeTo(&all);
  return json::parse(all);
}
std::vector<int> Offsets(std::string_view text) {
  const auto completion = CompletionLogprobsText(&Bytes());
  completion->Add(Of(text));
  return Take(*completion)["text_offset"];
}

TEST(TextOffsetsTest, ACharacterOfSeveralTokensCountsOnce) {
  EXPECT_EQ(Offsets("aé漢🙂z"), (std::vector<int>{0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4}));
}

TEST(TextOffsetsTest, BytesThatAreNoCharacterCountAsTheTextShowsThem) {
  // Half an é, then a letter: U+FFFD and the letter.
  EXPECT_EQ(Offsets("\xC3"
                    "ab"),
            (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(Offsets("\xE6\xBC"
                    "ab"),
            (std::vector<int>{0, 0, 2, 3}));
  EXPECT_EQ(Offsets("\x80\x80x"), (std::vector<int>{0, 1, 2}));
}

TEST(TextOffsetsTest, SpecialTokensHaveNoText) {
  TextOffsets offsets(&Bytes());
  EXPECT_EQ(offsets.Next(kSpecial), 0);
  EXPECT_EQ(offsets.Next(kSpecial), 0);
  EXPECT_EQ(offsets.Next(Bytes().ByteToken('a')), 0);
  EXPECT_EQ(offsets.Next(99'999), 1);  // a padded vocabulary's
  EXPECT_EQ(offsets.Next(Bytes().ByteToken('b')), 1);
}

TEST(LogprobsTextTest, AnEchoIsATextOfItsOwn) {
  const auto completion = CompletionLogprobsText(&Bytes());
  completion->AddEcho("a\uFFFD", Of("a\xC3"));
  completion->Add(Of("\xA9!"));  // does not complete what the prompt began
  EXPECT_EQ(Take(*completion)["text_offset"], (json{0, 1, 2, 3}));
}

TEST(LogprobsTextTest, ABlankThatTheTokenizerPutBeforeThePromptIsNotOfIt) {
  const auto completion = CompletionLogprobsText(&Bytes());
  completion->AddEcho("ab", Of(" ab"));
  completion->Add(Of("c"));
  EXPECT_EQ(Take(*completion)["text_offset"], (json{0, 0, 1, 2}));
}

TEST(LogprobsTextTest, OffsetsGoOnAfterWhatWasTaken) {
  const auto completion = CompletionLogprobsText(&Bytes());
  completion->Add(Of("h\xC3"));
  EXPECT_EQ(Take(*completion)["text_offset"], (json{0, 1}));
  EXPECT_TRUE(completion->empty());
  completion->Add(Of("\xA9!"));
  EXPECT_EQ(Take(*completion)["text_offset"], (json{1, 2}));
}

TEST(LogprobsTextTest, WritesBothForms) {
  const TokenId a = Bytes().ByteToken('a'), quote = Bytes().ByteToken('"');
  const std::vector<Logprobs> tokens = {
      {.chosen = {a, std::nanf("")}}, {.chosen = {quote, -0.5f}, .top = {{quote, -0.5f}, {a, -2}}}};
  const auto completion = CompletionLogprobsText(&Bytes());
  completion->AddEcho("a\"", tokens);
  EXPECT_EQ(Take(*completion), json::parse(R"({"text_offset":[0,1],"token_logprobs":[null,-0.5],
    "tokens":["a","\""],"top_logprobs":[null,{"\"":-0.5,"a":-2.0}]})"));
  const auto chat = ChatLogprobsText(&Bytes());
  chat->Add({tokens[1]});
  chat->Add(Of("a"));
  EXPECT_EQ(Take(*chat), json::parse(R"({"content":[
    {"token":"\"","logprob":-0.5,"bytes":[34],"top_logprobs":[
      {"token":"\"","logprob":-0.5,"bytes":[34]},{"token":"a","logprob":-2.0,"bytes":[97]}]},
    {"token":"a","logprob":-1.0,"bytes":[97],"top_logprobs":[]}],"refusal":null})"));
}

TEST(LogprobsTextTest, OfTokensWithTheSameTextTheLikeliestStands) {
  const auto completion = CompletionLogprobsText(&Bytes());
  completion->Add({{.chosen = {Bytes().ByteToken('a'), -1},
                    .top = {{Bytes().ByteToken(0xC3), -2}, {Bytes().ByteToken(0xC4), -3}}}});
  std::string text;
  completion->TakeTo(&text);
  EXPECT_NE(text.find("\"top_logprobs\":[{\"\uFFFD\":-2.0}]"), std::string::npos) << text;
}

TEST(JsonTextTest, ReadsBackAsWhatItWas) {
  std::mt19937 random(1);
  for (int i = 0; i < 10'000; ++i) {
    const float number = std::bit_cast<float>(static_cast<uint32_t>(random()));
    std::string text;
    AppendNumber(number, &text);
    const json read = json::parse(text);
    if (!std::isfinite(number)) {
      EXPECT_TRUE(read.is_null());
    } else {
      EXPECT_TRUE(read.is_number_float()) << text;
      EXPECT_EQ(read.get<float>(), number) << text;
    }
  }
  std::string all;
  for (int c = 0; c < 128; ++c) all.push_back(static_cast<char>(c));
  all += "é🙂";
  std::string text;
  AppendQuoted(all, &text);
  EXPECT_EQ(json::parse(text), all);
  EXPECT_EQ(NumbersText({0.25f, -1, 0.6f}), "[0.25,-1.0,0.6]");
  EXPECT_EQ(NumbersText({}), "[]");
}

TEST(CharacterCountTest, CountsCodePoints) { EXPECT_EQ(CharacterCount("aé漢🙂"), 4); }

}  // namespace
}  // namespace longrun::serving
