#include "serving/sample/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/random.h"

namespace longrun::serving {
namespace {

using ::testing::ElementsAre;
using Row = std::vector<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Row RandomRow(uint64_t seed, size_t size, double spread) {
  Random random(seed);
  Row row(size);
  for (float& x : row) x = static_cast<float>(random.Normal() * spread);
  return row;
}

Sampler MakeSampler(const SamplingConfig& config, size_t vocab, std::vector<TokenId> prompt = {},
                    int64_t choice = 0, std::unique_ptr<ConstraintState> constraint = nullptr) {
  EXPECT_TRUE(config.Validate(static_cast<int64_t>(vocab)).ok());
  return Sampler(config, choice, static_cast<int64_t>(vocab), prompt, std::move(constraint));
}

TokenId NextToken(Sampler* sampler, const Row& row) {
  const auto next = sampler->Next(row);
  EXPECT_TRUE(next.ok()) << next.status();
  return next.ok() ? next->token : -1;
}

// The plain definition: sort, cut by top_k, top_p, min_p, share out.
std::vector<double> ReferenceDistribution(const Row& row, const SamplingConfig& config) {
  std::vector<size_t> order(row.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return row[a] > row[b]; });
  if (config.top_k > 0 && static_cast<size_t>(config.top_k) < order.size()) {
    order.resize(static_cast<size_t>(config.top_k));
  }
  std::vector<double> weight(row.size());
  double total = 0;
  for (const size_t t : order) {
    weight[t] = std::exp((static_cast<double>(row[t]) - row[order[0]]) / config.temperature);
    total += weight[t];
  }
  double before = 0;
  double kept = 0;
  for (const size_t t : order) {
    const bool outside = config.top_p < 1 && before >= config.top_p * total;
    before += weight[t];
    if (outside || weight[t] < config.min_p) weight[t] = 0;
    kept += weight[t];
  }
  for (double& w : weight) w /= kept;
  return weight;
}

// Chi-square of n draws of different seeds against the reference: degrees of freedom d, so mean d
// and deviation sqrt(2 d); the seeds are fixed, so a draw within 5 deviations stays there.
void ExpectDistributed(const Row& row, SamplingConfig config, int n = 20'000) {
  const std::vector<double> expected = ReferenceDistribution(row, config);
  std::vector<double> seen(row.size(), 0);
  for (int i = 0; i < n; ++i) {
    config.seed = static_cast<uint64_t>(i);
    Sampler sampler = MakeSampler(config, row.size());
    ++seen[static_cast<size_t>(NextToken(&sampler, row))];
  }
  double chi = 0;
  double rare_expected = 0, rare_seen = 0;  // those under 10 draws count together
  int degrees = -1;
  const auto add = [&](double count, double right) {
    chi += (count - right) * (count - right) / right;
    ++degrees;
  };
  for (size_t t = 0; t < row.size(); ++t) {
    const double right = expected[t] * n;
    if (right == 0) {
      EXPECT_EQ(seen[t], 0) << "token " << t << " was cut off";
    } else if (right < 10) {
      rare_expected += right;
      rare_seen += seen[t];
    } else {
      add(seen[t], right);
    }
  }
  if (rare_expected > 5) add(rare_seen, rare_expected);
  EXPECT_LT(chi, degrees + 5 * std::sqrt(2.0 * std::max(degrees, 1)));
}

TEST(Sampler, DrawsFromTheDistributionThatTheConfigSays) {
  const Row small = RandomRow(1, 40, 2);
  ExpectDistributed(small, {});
  ExpectDistributed(small, {.temperature = 0.5});
  ExpectDistributed(small, {.temperature = 3});
  ExpectDistributed(small, {.top_k = 5});
  ExpectDistributed(small, {.top_k = 100});
  ExpectDistributed(small, {.top_p = 0.6});
  ExpectDistributed(small, {.top_p = 1e-9});
  ExpectDistributed(small, {.min_p = 0.1});
  ExpectDistributed(small, {.temperature = 1.5, .top_k = 20, .top_p = 0.9, .min_p = 0.05});
}

TEST(Sampler, DrawsFromManyTokensAsFromFew) {
  const Row flat = RandomRow(2, 3000, 0.3);
  ExpectDistributed(flat, {}, 100'000);
  ExpectDistributed(flat, {.top_p = 0.9}, 100'000);
  ExpectDistributed(flat, {.top_k = 700, .min_p = 0.3}, 50'000);
  const Row steep = RandomRow(3, 3000, 4);
  ExpectDistributed(steep, {}, 50'000);
  ExpectDistributed(steep, {.top_p = 0.95}, 50'000);
  ExpectDistributed(steep, {.top_p = 0.99999}, 50'000);
}

TEST(Sampler, EqualLogitsAreCutBySmallerTokens) {
  ExpectDistributed(Row(100, 1.0f), {.top_k = 7});
  ExpectDistributed(Row(100, 1.0f), {.top_p = 0.075});  // eight of them
  ExpectDistributed(Row(2000, 1.0f), {.top_p = 0.3});
  Row levels = RandomRow(4, 3000, 1);
  for (float& x : levels) x = std::round(x);
  ExpectDistributed(levels, {.top_p = 0.8}, 50'000);
  ExpectDistributed(levels, {.top_k = 1000, .top_p = 0.8}, 50'000);
}

TEST(Sampler, ConsecutiveTokensAndChoicesAreIndependent) {
  const Row row(8, 0.0f);
  // Pairs (token 0, token 1) of one seed after another, and of choice after choice.
  for (const bool by_choice : {false, true}) {
    std::vector<double> seen(64, 0);
    const int n = 64'000;
    for (int i = 0; i < n; ++i) {
      SamplingConfig config;
      config.seed = by_choice ? 3 : static_cast<uint64_t>(i);
      Sampler sampler = MakeSampler(config, 8, {}, by_choice ? i : 0);
      const TokenId first = NextToken(&sampler, row);
      ++seen[static_cast<size_t>(first * 8 + NextToken(&sampler, row))];
    }
    double chi = 0;
    for (const double s : seen) chi += (s - n / 64.0) * (s - n / 64.0) / (n / 64.0);
    EXPECT_LT(chi, 63 + 5 * std::sqrt(126.0));
  }
}

TEST(Sampler, TheSameSeedGivesTheSameTokensWhateverCameBetween) {
  const SamplingConfig config{.temperature = 1.1, .top_p = 0.97, .seed = 11};
  Sampler a = MakeSampler(config, 5000), b = MakeSampler(config, 5000);
  Sampler other = MakeSampler({.seed = 12}, 900);
  for (uint64_t i = 0; i < 50; ++i) {
    const Row row = RandomRow(i, 5000, 2);
    const TokenId token = NextToken(&a, row);
    NextToken(&other, RandomRow(i, 900, 1));
    EXPECT_EQ(NextToken(&b, row), token);
  }
}

TEST(Sampler, TemperatureZeroIsTheLikeliestTheSmallerOfEquals) {
  Sampler greedy = MakeSampler({.temperature = 0}, 6);
  EXPECT_EQ(NextToken(&greedy, {0, 2, 1, 2, -1, 2}), 1);
  EXPECT_EQ(NextToken(&greedy, {0, -kInfinity, 1, 2, -1, 2}), 3);
  for (const SamplingConfig& config :
       {SamplingConfig{.temperature = 1e-300}, SamplingConfig{.top_k = 1},
        SamplingConfig{.top_p = 1e-300}, SamplingConfig{.min_p = 1}}) {
    Sampler sampler = MakeSampler(config, 6);
    for (int i = 0; i < 50; ++i) EXPECT_EQ(NextToken(&sampler, {0, 2, 1, 3, -1, 2}), 3);
  }
  Sampler hot = MakeSampler({.temperature = 1e300}, 3);
  for (int i = 0; i < 100; ++i) EXPECT_NE(NextToken(&hot, {5, -kInfinity, 1}), 1);
}

// Logprobs show what bias and penalties made of the logits: by hand.
std::vector<float> AdjustedLogits(Sampler* sampler, const Row& row) {
  const auto next = sampler->Next(row);
  EXPECT_TRUE(next.ok());
  std::vector<float> out(row.size());
  for (const TokenLogprob& t : next->logprobs.top) {
    out[static_cast<size_t>(t.token)] = t.logprob;
  }
  for (float& x : out) x -= out.back();  // the last token is left alone and has the logit 0
  return out;
}

void ExpectNear(const std::vector<float>& a, const std::vector<float>& right) {
  ASSERT_EQ(a.size(), right.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], right[i], 1e-5) << i;
}

TEST(Sampler, PenaltiesByHand) {
  const Row row = {3, 1, -1, 0};
  SamplingConfig config{.temperature = 0, .top_logprobs = 4};
  config.frequency_penalty = 0.5;
  config.presence_penalty = 0.25;
  Sampler openai = MakeSampler(config, 4, {1, 1, 2});  // the prompt does not count
  ExpectNear(AdjustedLogits(&openai, row), {3, 1, -1, 0});
  ExpectNear(AdjustedLogits(&openai, row), {2.25, 1, -1, 0});  // token 0 once
  ExpectNear(AdjustedLogits(&openai, row), {1.75, 1, -1, 0});  // twice

  config = {.repetition_penalty = 2, .temperature = 0, .top_logprobs = 4};
  Sampler repetition = MakeSampler(config, 4, {1, 2, 2});
  ExpectNear(AdjustedLogits(&repetition, row), {3, 0.5, -2, 0});
  ExpectNear(AdjustedLogits(&repetition, row), {1.5, 0.5, -2, 0});

  config = {.logit_bias = {{2, 5.0f}, {0, -1.0f}}, .temperature = 0, .top_logprobs = 4};
  config.frequency_penalty = 1;
  config.repetition_penalty = 2;  // in the order of the fields: (logit + bias - frequency) / 2
  Sampler all = MakeSampler(config, 4);
  ExpectNear(AdjustedLogits(&all, row), {2, 1, 4, 0});
  ExpectNear(AdjustedLogits(&all, row), {2, 1, 1.5, 0});
}

TEST(Sampler, LogprobsAreTheLogSoftmaxWhateverTheTemperature) {
  const Row row = RandomRow(9, 1000, 3);
  double sum = 0;
  for (const float x : row) sum += std::exp(static_cast<double>(x));
  Sampler sampler = MakeSampler({.temperature = 0.3, .top_k = 50, .top_logprobs = 20}, 1000);
  const Sampled sampled = *sampler.Next(row);
  const auto right = [&](TokenId t) { return row[static_cast<size_t>(t)] - std::log(sum); };
  EXPECT_EQ(sampled.logprobs.chosen.token, sampled.token);
  EXPECT_NEAR(sampled.logprobs.chosen.logprob, right(sampled.token), 1e-5);
  ASSERT_EQ(sampled.logprobs.top.size(), 20u);
  Row sorted = row;
  std::sort(sorted.rbegin(), sorted.rend());
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(row[static_cast<size_t>(sampled.logprobs.top[i].token)], sorted[i]);
    EXPECT_NEAR(sampled.logprobs.top[i].logprob, right(sampled.logprobs.top[i].token), 1e-5);
  }
  const Logprobs echoed = LogprobsOf(row, 17, 2);
  EXPECT_NEAR(echoed.chosen.logprob, right(17), 1e-5);
  EXPECT_EQ(echoed.top.size(), 2u);
  EXPECT_EQ(LogprobsOf(Row{1, 2}, 0, 20).top.size(), 2u);
  Sampler none = MakeSampler({.top_logprobs = 0}, 1000);
  EXPECT_TRUE(none.Next(row)->logprobs.top.empty());
}

// Allows each token once, in any order, and is complete after the last.
class EachOnce : public ConstraintState {
 public:
  // Each mask takes so much effort.
  explicit EachOnce(int64_t vocab, int64_t effort = 0)
      : left_(static_cast<size_t>(vocab), true), effort_(effort) {}
  int64_t Prepare(int64_t effort) override {
    const int64_t paid = std::min(effort, effort_ - paid_);
    paid_ += paid;
    return paid;
  }
  bool ready() const override { return paid_ == effort_; }
  void Mask(std::span<uint32_t> mask) override {
    std::fill(mask.begin(), mask.end(), 0);
    for (size_t t = 0; t < left_.size(); ++t) {
      if (left_[t]) mask[t / 32] |= 1u << (t % 32);
    }
  }
  bool Accept(TokenId token) override {
    if (!left_[static_cast<size_t>(token)]) return false;
    left_[static_cast<size_t>(token)] = false;
    paid_ = 0;
    return true;
  }
  bool complete() const override {
    return std::find(left_.begin(), left_.end(), true) == left_.end();
  }
  std::unique_ptr<ConstraintState> Clone() const override {
    return std::make_unique<EachOnce>(*this);
  }

 private:
  std::vector<bool> left_;
  int64_t effort_, paid_ = 0;
};

TEST(Sampler, AConstraintDecidesWhatMayCome) {
  const size_t vocab = 70;  // over a word of the mask
  const Row row = RandomRow(4, vocab, 3);
  Sampler sampler =
      MakeSampler({.top_logprobs = 1}, vocab, {}, 0, std::make_unique<EachOnce>(vocab));
  std::vector<TokenId> tokens;
  for (size_t i = 0; i < vocab; ++i) {
    EXPECT_FALSE(sampler.complete());
    const Sampled sampled = *sampler.Next(row);
    tokens.push_back(sampled.token);
    EXPECT_NEAR(sampled.logprobs.chosen.logprob, LogprobsOf(row, sampled.token, 0).chosen.logprob,
                1e-6);
  }
  std::sort(tokens.begin(), tokens.end());
  for (size_t i = 0; i < vocab; ++i) EXPECT_EQ(tokens[i], static_cast<TokenId>(i));
  EXPECT_TRUE(sampler.complete());
  EXPECT_EQ(sampler.Next(row).status().code(), absl::StatusCode::kInvalidArgument);
}

// Promises more than it keeps: its mask allows every token, it takes those from `first` on.
class Promises final : public ConstraintState {
 public:
  explicit Promises(TokenId first) : first_(first) {}
  int64_t Prepare(int64_t) override { return 0; }
  bool ready() const override { return true; }
  void Mask(std::span<uint32_t> mask) override { std::fill(mask.begin(), mask.end(), ~0u); }
  bool Accept(TokenId token) override { return token >= first_; }
  bool complete() const override { return false; }
  std::unique_ptr<ConstraintState> Clone() const override {
    return std::make_unique<Promises>(*this);
  }

 private:
  TokenId first_;
};

TEST(Sampler, WhatAConstraintRefusesAfterAllIsChosenAnew) {
  const Row row = {9, 8, 7, 3, 2, 1};
  Sampler greedy =
      MakeSampler({.temperature = 0, .top_logprobs = 1}, 6, {}, 0, std::make_unique<Promises>(3));
  const Sampled sampled = *greedy.Next(row);
  EXPECT_EQ(sampled.token, 3);
  EXPECT_NEAR(sampled.logprobs.chosen.logprob, LogprobsOf(row, 3, 0).chosen.logprob, 1e-6);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Sampler one = MakeSampler({.seed = seed}, 6, {}, 0, std::make_unique<Promises>(3));
    Sampler other = MakeSampler({.seed = seed}, 6, {}, 0, std::make_unique<Promises>(3));
    const TokenId token = one.Next(row)->token;
    EXPECT_GE(token, 3);
    EXPECT_EQ(other.Next(row)->token, token);
  }
  Sampler none = MakeSampler({}, 6, {}, 0, std::make_unique<Promises>(6));
  EXPECT_EQ(none.Next(row).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Sampler, LogitsThatAreNoNumbersAreAnErrorAndChangeNothing) {
  Sampler sampler = MakeSampler({.temperature = 0.8, .seed = 5}, 100);
  Sampler other = MakeSampler({.temperature = 0.8, .seed = 5}, 100);
  Row row = RandomRow(1, 100, 1);
  Row bad = row;
  bad[50] = std::nanf("");
  EXPECT_EQ(sampler.Next(bad).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(sampler.Next(Row(100, -kInfinity)).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(NextToken(&sampler, row), NextToken(&other, row));
}

// A model whose logits are a function of the last token.
Row RowAfter(TokenId last, size_t vocab) {
  return RandomRow(static_cast<uint64_t>(last) + 1, vocab, 2.5);
}

TEST(Sampler, SpeculationGivesTheSameTokensAsOneByOne) {
  const size_t vocab = 50;
  Random random(1);
  int64_t accepted_total = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SamplingConfig config{.temperature = seed % 5 == 0 ? 0 : 0.6, .seed = seed};
    if (seed % 3 == 0) config.presence_penalty = 0.5;
    if (seed % 4 == 0) config.top_logprobs = 2;
    const auto constraint = [&]() -> std::unique_ptr<ConstraintState> {
      if (seed % 7 == 0) return std::make_unique<EachOnce>(vocab);
      return nullptr;
    };
    Sampler one = MakeSampler(config, vocab, {}, 0, constraint());
    Sampler fast = MakeSampler(config, vocab, {}, 0, constraint());
    std::vector<TokenId> right = {0};
    while (right.size() < 40) right.push_back(NextToken(&one, RowAfter(right.back(), vocab)));
    std::vector<TokenId> tokens = {0};
    while (tokens.size() < 40) {
      // A draft that is right up to a random place.
      std::vector<TokenId> draft;
      const size_t most = std::min<size_t>(random.Below(5), 40 - tokens.size() - 1);
      for (size_t i = 0; i < most; ++i) {
        draft.push_back(random.Chance(0.8) ? right[tokens.size() + i]
                                           : static_cast<TokenId>(random.Below(vocab)));
      }
      Row rows = RowAfter(tokens.back(), vocab);
      for (const TokenId t : draft) {
        const Row next = RowAfter(t, vocab);
        rows.insert(rows.end(), next.begin(), next.end());
      }
      const auto accepted = *fast.Verify(rows, draft);
      ASSERT_GE(accepted.size(), 1u);
      accepted_total += static_cast<int64_t>(accepted.size()) - 1;
      for (const Sampled& s : accepted) {
        tokens.push_back(s.token);
        EXPECT_EQ(s.logprobs.top.size(), config.top_logprobs == 2 ? 2u : 0u);
      }
    }
    ASSERT_EQ(tokens, right) << seed;
  }
  EXPECT_GT(accepted_total, 3000);
}

// What is left out comes one by one: the same tokens.
TEST(Sampler, SpeculationEndsWhereMasksTakeTooLong) {
  constexpr size_t kTokens = 5;
  const Row rows = RandomRow(1, kTokens * kTokens, 2);
  const auto row = [&rows](size_t i) { return std::span(rows).subspan(i * kTokens, kTokens); };
  Sampler one = MakeSampler({.seed = 3}, kTokens, {}, 0, std::make_unique<EachOnce>(kTokens));
  std::vector<TokenId> right;
  for (size_t i = 0; i < kTokens; ++i) right.push_back(one.Next(row(i))->token);
  const std::span draft = std::span(right).first(kTokens - 1);
  for (const size_t masks : {0u, 1u, 3u}) {
    Sampler sampler =
        MakeSampler({.seed = 3}, kTokens, {}, 0, std::make_unique<EachOnce>(kTokens, 100));
    sampler.constraint()->Prepare(100);
    const int64_t effort = 100 * static_cast<int64_t>(masks) + 99;
    const auto accepted = *sampler.Verify(rows, draft, effort);
    ASSERT_EQ(accepted.size(), masks + 1);
    for (size_t i = 0; i <= masks; ++i) EXPECT_EQ(accepted[i].token, right[i]);
    EXPECT_FALSE(sampler.constraint()->ready());
    sampler.constraint()->Prepare(1);  // what was begun is kept
    EXPECT_TRUE(sampler.constraint()->ready());
    EXPECT_EQ(sampler.Next(row(masks + 1))->token, right[masks + 1]);
  }
}

TEST(Sampler, SpeculationEndsWhereTheTextIsCompleteOrCannotGoOn) {
  Sampler sampler = MakeSampler({.temperature = 0}, 2, {}, 0, std::make_unique<EachOnce>(2));
  const Row rows = {1, 0, 1, 0, 1, 0, 1, 0};
  const auto accepted = *sampler.Verify(rows, std::vector<TokenId>{0, 1, 0});
  EXPECT_EQ(accepted.size(), 2u);
  EXPECT_TRUE(sampler.complete());
  Sampler broken = MakeSampler({.temperature = 0}, 2);
  const float nan = std::nanf("");
  EXPECT_EQ(broken.Verify(Row{1, 0, nan, 0}, std::vector<TokenId>{0})->size(), 1u);
  EXPECT_FALSE(broken.Verify(Row{nan, 0, 1, 0}, std::vector<TokenId>{0}).ok());
}

}  // namespace
}  // namespace longrun::serving
