#include "model/sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "model/model_reference.h"

namespace longrun::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<float> kLogits = {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.3f)};

std::vector<double> Shares(const SampleConfig& config) {
  Random random(1);
  std::vector<double> shares(kLogits.size());
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    shares[static_cast<size_t>(SampleToken(kLogits, config, random))] += 1.0 / kDraws;
  }
  return shares;
}

auto Near(double value) { return testing::DoubleNear(value, 0.015); }

TEST(SampleToken, FollowsTheProbabilities) {
  EXPECT_THAT(Shares({}), ElementsAre(Near(0.1), Near(0.4), Near(0.2), Near(0.3)));
}

TEST(SampleToken, TemperatureSharpens) {
  // Squares of the probabilities, normalised: 1, 16, 4, 9 of 30.
  EXPECT_THAT(Shares({.temperature = 0.5}),
              ElementsAre(Near(1 / 30.0), Near(16 / 30.0), Near(4 / 30.0), Near(9 / 30.0)));
  EXPECT_THAT(Shares({.temperature = 0}), ElementsAre(0, Near(1), 0, 0));
}

TEST(SampleToken, TopKKeepsTheLikeliest) {
  EXPECT_THAT(Shares({.top_k = 2}), ElementsAre(0, Near(4 / 7.0), 0, Near(3 / 7.0)));
  EXPECT_THAT(Shares({.top_k = 100}), ElementsAre(Near(0.1), Near(0.4), Near(0.2), Near(0.3)));
}

TEST(SampleToken, TopPKeepsTheFewestThatReachIt) {
  EXPECT_THAT(Shares({.top_p = 0.69}), ElementsAre(0, Near(4 / 7.0), 0, Near(3 / 7.0)));
  EXPECT_THAT(Shares({.top_p = 0.75}), ElementsAre(0, Near(4 / 9.0), Near(2 / 9.0), Near(3 / 9.0)));
  EXPECT_THAT(Shares({.top_p = 0.001}), ElementsAre(0, Near(1), 0, 0));
}

TEST(Generate, RepeatsWithItsSeedAndOutgrowsTheContext) {
  Gpt gpt(OddConfig(), at::kCPU, 1);
  Scramble(&gpt);
  const std::vector<int64_t> prompt = {1, 2, 3};
  const SampleConfig config{.seed = 4, .max_tokens = 200};  // the context is 70
  const auto first = Generate(&gpt, prompt, config);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->size(), 200u);
  EXPECT_EQ(*first, *Generate(&gpt, prompt, config));
  EXPECT_NE(*first, *Generate(&gpt, prompt, {.seed = 5, .max_tokens = 200}));
}

TEST(Generate, GreedyTakesTheLikeliestOfTheWholeModel) {
  Gpt gpt(OddConfig(), at::kCPU, 1);
  Scramble(&gpt);
  std::vector<int64_t> text = {5, 6};
  const auto generated = Generate(&gpt, text, {.temperature = 0, .max_tokens = 12});
  ASSERT_TRUE(generated.ok());
  for (const int64_t token : *generated) {
    const at::Tensor tokens =
        at::from_blob(text.data(), {1, static_cast<int64_t>(text.size())}, at::kLong);
    EXPECT_EQ(gpt.Logits(tokens)[0].select(0, -1).argmax().item<int64_t>(), token);
    text.push_back(token);
  }
}

TEST(Generate, StopsWhereToldTo) {
  Gpt gpt(OddConfig(), at::kCPU, 1);
  const std::vector<int64_t> prompt = {1};
  const auto all = Generate(&gpt, prompt, {.max_tokens = 30});
  const int64_t stop = (*all)[10];
  const auto stopped = Generate(&gpt, prompt, {.max_tokens = 30, .stop_token = stop});
  EXPECT_LE(stopped->size(), 10u);
  EXPECT_THAT(*stopped, testing::Not(testing::Contains(stop)));
  int calls = 0;
  EXPECT_EQ(
      Generate(&gpt, prompt, {.max_tokens = 30}, [&](int64_t) { return ++calls < 3; })->size(), 3u);
}

TEST(Generate, RefusesWhatCannotBe) {
  Gpt gpt(OddConfig(), at::kCPU, 1);
  const std::vector<int64_t> none, unknown = {99}, fine = {1};
  EXPECT_THAT(std::string(Generate(&gpt, none, {}).status().message()), HasSubstr("no tokens"));
  EXPECT_THAT(std::string(Generate(&gpt, unknown, {}).status().message()), HasSubstr("token 99"));
  EXPECT_THAT(std::string(Generate(&gpt, fine, {.top_p = 0}).status().message()),
              HasSubstr("top_p"));
  EXPECT_FALSE(Generate(&gpt, fine, {.temperature = -1}).ok());
}

}  // namespace
}  // namespace longrun::model
