#include "serving/openai/embedding.h"

#include <string>

#include "serving/openai/api_for_tests.h"

namespace longrun::serving {
namespace {

class EmbeddingTest : public ApiTest {};

TEST_F(EmbeddingTest, EmbedsEachInput) {
  for (const bool base64 : {false, true}) {
    engine_.submitted.clear();
    json body = {{"model", "gpt2"}, {"input", {"a", "bc"}}};
    if (base64) body["encoding_format"] = "base64";
    const auto answer = Post("/v1/embeddings", body);
    ASSERT_EQ(engine_.submitted.size(), 2u);
    EXPECT_TRUE(Request(1).embedding);
    Delta second{.finish = FinishReason::kStop, .embedding = {0, 2}, .last = true};
    second.usage.prompt_tokens = 2;
    engine_.Send(1, second);
    EXPECT_FALSE(answer->complete);
    Delta first{.finish = FinishReason::kStop, .embedding = {3, 4}, .last = true};
    first.usage.prompt_tokens = 1;
    engine_.Send(0, first);
    ASSERT_EQ(answer->status(), 200);
    const json said = answer->Json();
    EXPECT_EQ(said["object"], "list");
    EXPECT_EQ(said["usage"], (json{{"prompt_tokens", 3}, {"total_tokens", 3}}));
    ASSERT_EQ(said["data"].size(), 2u);
    EXPECT_EQ(said["data"][1]["index"], 1);
    EXPECT_EQ(said["data"][0]["object"], "embedding");
    if (base64) {  // 0.6f 0.8f little-endian, as Python's struct and base64 write it
      EXPECT_EQ(said["data"][0]["embedding"], "mpkZP83MTD8=");
    } else {
      using Vector = std::vector<float>;
      EXPECT_EQ(said["data"][0]["embedding"].get<Vector>(), (Vector{0.6f, 0.8f}));
      EXPECT_EQ(said["data"][1]["embedding"].get<Vector>(), (Vector{0.0f, 1.0f}));
    }
  }
}

TEST_F(EmbeddingTest, EmbeddingsAllOrNone) {
  engine_.refuse = [&](const GenerationRequest& request) {
    return request.prompt.size() == 2 ? absl::ResourceExhaustedError("full") : absl::OkStatus();
  };
  const json body = {{"model", "gpt2"}, {"input", {"a", "bc"}}};
  EXPECT_REFUSED(Post("/v1/embeddings", body), 429, "rate_limit_error", nullptr,
                 "engine_overloaded");
  ASSERT_FALSE(engine_.cancelled.empty());
  EXPECT_EQ(engine_.cancelled[0], Request(0).id);
  engine_.End(0, "", 0, 0, FinishReason::kCancelled);

  engine_.refuse = nullptr;
  engine_.submitted.clear();
  const auto cut = Post("/v1/embeddings", body);
  engine_.End(0, "", 0, 0, FinishReason::kCancelled);
  EXPECT_REFUSED(cut, 503, "server_error", nullptr, "unavailable");
  engine_.End(1, "", 0, 0, FinishReason::kCancelled);

  engine_.cancelled.clear();
  const auto left = Post("/v1/embeddings", body);
  left->Leave();
  EXPECT_EQ(engine_.cancelled, (std::vector<std::string>{Request(2).id, Request(3).id}));
}

TEST_F(EmbeddingTest, EmbeddingsMayFillTheContext) {
  EXPECT_EQ(Post("/v1/embeddings", {{"model", "gpt2"}, {"input", std::string(100, 'x')}})->status(),
            0);
  EXPECT_REFUSED(Post("/v1/embeddings", {{"model", "gpt2"}, {"input", std::string(101, 'x')}}), 400,
                 "invalid_request_error", "input", "context_length_exceeded");
}

TEST(NormalisedTest, NothingStaysNothing) {
  EXPECT_EQ(Normalised({0, 0}), (std::vector<float>{0, 0}));
  EXPECT_EQ(Normalised({-2e30f}), std::vector<float>{-1});
  EXPECT_EQ(ToBase64({}), "");
}

}  // namespace
}  // namespace longrun::serving
