#include "serving/openai/reply_format.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

using nlohmann::json;

const model::Tokenizer& Bytes() {
  static const model::Tokenizer tokenizer = model::Tokenizer::Bytes();
  return tokenizer;
}
ReplyHead Head(bool logprobs) {
  return {.id = "id-\"1\"", .created = 5, .model = "m\n", .logprobs = logprobs};
}
json EventOf(const std::string& text) {
  EXPECT_TRUE(text.starts_with("data: ") && text.ends_with("\n\n")) << text;
  EXPECT_EQ(text.find("\n\n"), text.size() - 2) << "several events: " << text;
  return json::parse(text.substr(6));
}

TEST(ReplyFormatTest, HeadsAreEscapedAndNothingToSayIsNothing) {
  const auto format = CompletionReply(Head(false), &Bytes());
  EXPECT_EQ(format->Chunk(0, {}, true, nullptr), "");
  const json event = EventOf(format->Chunk(3, {.text = "a\"\n\nb"}, false, nullptr));
  EXPECT_EQ(event["id"], "id-\"1\"");
  EXPECT_EQ(event["model"], "m\n");
  EXPECT_EQ(event["choices"][0]["index"], 3);
  EXPECT_EQ(event["choices"][0]["text"], "a\"\n\nb");
  EXPECT_EQ(event["choices"][0]["logprobs"], nullptr);
  EXPECT_FALSE(event.contains("usage"));
}

TEST(ReplyFormatTest, ARoleComesBeforeTheFirstTextAlone) {
  const auto format = ChatReply(Head(false), &Bytes());
  const json role = EventOf(format->Chunk(0, {}, true, nullptr));
  EXPECT_EQ(role["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(format->Chunk(0, {}, false, nullptr), "");
  const json text = EventOf(format->Chunk(0, {.text = "x"}, false, nullptr));
  EXPECT_FALSE(text["choices"][0]["delta"].contains("role"));
}

TEST(ReplyFormatTest, UsageStandsInAChunkWithoutChoices) {
  ReplyHead head = Head(false);
  head.usage_in_chunks = true;
  const auto format = ChatReply(head, &Bytes());
  EXPECT_TRUE(EventOf(format->Chunk(0, {.text = "x"}, false, nullptr))["usage"].is_null());
  const json usage = EventOf(format->UsageChunk({3, 1, 4}));
  EXPECT_EQ(usage["choices"], json::array());
  EXPECT_EQ(usage["usage"]["total_tokens"], 7);
  EXPECT_EQ(usage["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
}

TEST(ReplyFormatTest, LogprobsAreNumbersWhateverTheyAre) {
  // -inf (a forbidden token) has no JSON; half a character has no text, but bytes.
  const float infinity = std::numeric_limits<float>::infinity();
  const TokenId half = Bytes().ByteToken(0xC3);
  const auto whole = [&](ReplyMaker* make) {
    const auto format = make(Head(true), &Bytes());
    std::vector<ChoiceReply> replies(1);
    replies[0].finish = FinishReason::kStop;
    replies[0].logprobs = format->NewLogprobs();
    replies[0].logprobs->Add({{.chosen = {half, -infinity}, .top = {{half, -0.5f}, {99'999, -1}}}});
    return json::parse(format->Whole(replies, {}));
  };
  const json chat = whole(ChatReply);
  const json& one = chat["choices"][0]["logprobs"]["content"][0];
  EXPECT_EQ(one["logprob"], -9999.0);
  EXPECT_EQ(one["token"], "\xEF\xBF\xBD");
  EXPECT_EQ(one["bytes"], json::array({0xC3}));
  EXPECT_EQ(one["top_logprobs"][1]["token"], "");  // a padded vocabulary's
  const json completion = whole(CompletionReply);
  EXPECT_EQ(completion["choices"][0]["logprobs"]["token_logprobs"], json::array({-9999.0}));
}

TEST(ReplyFormatTest, AChunkTakesTheLogprobsThatAreNew) {
  const auto format = CompletionReply(Head(true), &Bytes());
  const auto logprobs = format->NewLogprobs();
  for (int i = 0; i < 3; ++i) {
    logprobs->Add({{.chosen = {Bytes().ByteToken('h'), -1}}});
    const json event = EventOf(format->Chunk(0, {.text = "h"}, false, logprobs.get()));
    EXPECT_EQ(event["choices"][0]["logprobs"]["text_offset"], json::array({i}));
  }
  EXPECT_EQ(format->Chunk(0, {}, false, logprobs.get()), "");
  EXPECT_EQ(CompletionReply(Head(false), &Bytes())->NewLogprobs(), nullptr);
}

}  // namespace
}  // namespace longrun::serving
