// What requests under way hold: told to the responder, and given up where that is too much.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "serving/openai/api_for_tests.h"

namespace longrun::serving {
namespace {

class AnswerMemoryTest : public ApiTest {};

constexpr char kHoldsTooMuch[] = "your requests under way hold more memory";

TEST_F(AnswerMemoryTest, AWholeAnswerIsHeldWhileItGrowsAndGivenUpWhereItIsTooMuch) {
  config_.context = 100'000;
  most_bytes_ = 100'000;
  const auto answer = Complete({{"max_tokens", 90'000}, {"logprobs", 5}});
  ASSERT_EQ(engine_.submitted.size(), 1u);
  int64_t told = 0;
  for (int i = 0; i < 10'000 && !answer->complete; ++i) {
    engine_.Say(0, "0123456789");
    EXPECT_GE(answer->held_bytes, told);
    told = answer->held_bytes;
  }
  EXPECT_GT(told, 100'000);
  EXPECT_LT(told, 110'000) << "it is told before it has grown by much more";
  EXPECT_REFUSED(answer, 429, "rate_limit_error", nullptr, "engine_overloaded");
  EXPECT_THAT(answer->answer.body, testing::HasSubstr(kHoldsTooMuch));
  EXPECT_EQ(answer->Header("Retry-After"), "1");
  EXPECT_EQ(engine_.cancelled, std::vector<std::string>{Request(0).id});
}

TEST_F(AnswerMemoryTest, AStreamGathersNothing) {
  config_.context = 100'000;
  most_bytes_ = 1000;
  const auto answer = Complete({{"max_tokens", 90'000}, {"logprobs", 5}, {"stream", true}});
  for (int i = 0; i < 1000; ++i) engine_.Say(0, "0123456789");
  EXPECT_FALSE(answer->complete);
  EXPECT_EQ(answer->held_bytes, 0);
}

TEST_F(AnswerMemoryTest, PromptsAreHeldFromTheBeginning) {
  config_.context = 100'000;
  most_bytes_ = 80'000;
  const auto held = Complete({{"prompt", std::string(9'000, 'x')}, {"stream", true}});
  EXPECT_EQ(engine_.submitted.size(), 1u);
  EXPECT_EQ(held->held_bytes, 72'000);
  for (const char* path : {"/v1/completions", "/v1/embeddings"}) {
    const std::string text(11'000, 'x');
    const auto refused = Post(path, {{"model", "gpt2"}, {"prompt", text}, {"input", text}});
    EXPECT_REFUSED(refused, 429, "rate_limit_error", nullptr, "engine_overloaded");
    EXPECT_THAT(refused->answer.body, testing::HasSubstr(kHoldsTooMuch));
  }
  EXPECT_EQ(engine_.submitted.size(), 1u);
}

TEST_F(AnswerMemoryTest, EmbeddingsAreHeldAsTheyCome) {
  most_bytes_ = 10'000;
  const auto answer =
      Post("/v1/embeddings", {{"model", "gpt2"}, {"input", {"one", "two", "three"}}});
  ASSERT_EQ(engine_.submitted.size(), 3u);
  Delta delta{.finish = FinishReason::kStop};
  delta.embedding.assign(700, 0.123456f);
  delta.last = true;
  engine_.Send(0, delta);
  EXPECT_GT(answer->held_bytes, 4'000);
  EXPECT_FALSE(answer->complete);
  engine_.Send(1, delta);
  EXPECT_REFUSED(answer, 429, "rate_limit_error", nullptr, "engine_overloaded");
  EXPECT_EQ(engine_.cancelled.size(), 3u);
}

}  // namespace
}  // namespace longrun::serving
