// What the tests of executors share: folders that vanish, tokens, blocks, comparisons, small models
// of both families, and what every executor promises that nobody's text leaks into another's.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "serving/execute/executor.h"
#include "serving/execute/model_folder_for_tests.h"

namespace longrun::serving {

using model::TokenId;
using Tokens = std::vector<TokenId>;

class Folder {
 public:
  Folder(const ModelFolder& model, model::DType dtype = model::DType::kF32) {
    static int number = 0;
    path_ = fmt::format("{}/longrun_executor_test.{}.{}", testing::TempDir(), getpid(), number++);
    model.Write(path_, dtype);
  }
  ~Folder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline Tokens RandomTokens(int64_t n, int64_t vocab, uint64_t seed) {
  Random random(seed);
  Tokens tokens;
  for (int64_t i = 0; i < n; ++i) {
    tokens.push_back(static_cast<TokenId>(random.Below(static_cast<uint64_t>(vocab))));
  }
  return tokens;
}

inline std::vector<BlockId> Blocks(BlockId first, int64_t n) {
  std::vector<BlockId> blocks(static_cast<size_t>(n));
  std::iota(blocks.begin(), blocks.end(), first);
  return blocks;
}

// The same in another order.
inline std::vector<BlockId> ShuffledBlocks(BlockId first, int64_t n) {
  std::vector<BlockId> blocks = Blocks(first, n);
  std::reverse(blocks.begin(), blocks.end());
  std::swap(blocks.at(2), blocks.at(9));
  return blocks;
}

inline std::vector<float> Copy(std::span<const float> values) {
  return {values.begin(), values.end()};
}

// Logits of all tokens of a sequence given in one slice.
inline std::vector<float> Whole(Executor& executor, const Tokens& tokens,
                                const std::vector<BlockId>& blocks) {
  const Slice slice = {.tokens = tokens,
                       .position = 0,
                       .blocks = blocks,
                       .logits = static_cast<int64_t>(tokens.size())};
  const auto output = executor.Run({.slices = {slice}});
  EXPECT_TRUE(output.ok()) << output.status();
  return Copy(output->logits);
}

// The same of a sequence whose tokens come in slices of 1 to 70.
inline std::vector<float> InChunks(Executor& executor, const Tokens& tokens,
                                   const std::vector<BlockId>& blocks) {
  Random random(9);
  std::vector<float> logits;
  for (size_t at = 0; at < tokens.size();) {
    const size_t n = std::min(static_cast<size_t>(random.Between(1, 70)), tokens.size() - at);
    const Slice slice = {.tokens = std::span(tokens).subspan(at, n),
                         .position = static_cast<int64_t>(at),
                         .blocks = blocks,
                         .logits = static_cast<int64_t>(n)};
    const auto output = executor.Run({.slices = {slice}});
    EXPECT_TRUE(output.ok()) << output.status();
    if (!output.ok()) break;
    logits.insert(logits.end(), output->logits.begin(), output->logits.end());
    at += n;
  }
  return logits;
}

inline double MaxDifference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - b[i]);
    most = d > most || std::isnan(d) ? d : most;
  }
  return most;
}

inline bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

// `bound` 0: the same bits.
inline void ExpectWithin(std::span<const float> a, std::span<const float> b, double bound) {
  if (bound == 0) {
    EXPECT_TRUE(SameBits(a, b));
  } else {
    EXPECT_LT(MaxDifference(a, b), bound);
  }
}

// A step of a prompt's midst, a decode and a prompt's end: each gets its own logits, no more rows
// than were asked for.
inline void ExpectLogitsGoToWhoAskedForThem(Executor& executor, const ModelFolder& model,
                                            double bound) {
  const auto vocab = static_cast<size_t>(model.config().vocab_size);
  const auto random = [&](int64_t n, uint64_t seed) {
    return RandomTokens(n, model.config().vocab_size, seed);
  };
  const Tokens a = random(50, 1), b = random(33, 2), c = random(20, 3);
  const std::vector<float> of_b = Whole(executor, b, Blocks(10, 4));
  const std::vector<float> of_c = Whole(executor, c, Blocks(20, 4));
  const std::vector<BlockId> blocks_a = Blocks(0, 4), blocks_b = Blocks(10, 4),
                             blocks_c = Blocks(20, 4);
  const auto output = executor.Run(
      {.slices = {
           {.tokens = a, .blocks = blocks_a, .logits = 0},
           {.tokens = std::span(b).subspan(32), .position = 32, .blocks = blocks_b, .logits = 1},
           {.tokens = c, .blocks = blocks_c, .logits = 2, .states = true}}});
  ASSERT_TRUE(output.ok()) << output.status();
  ASSERT_EQ(output->logits.size(), 3 * vocab);
  ExpectWithin(output->logits.subspan(0, vocab), std::span(of_b).subspan(32 * vocab), bound);
  ExpectWithin(output->logits.subspan(vocab), std::span(of_c).subspan(18 * vocab), bound);
  ASSERT_EQ(output->states.size(), 20 * static_cast<size_t>(model.config().d_model));
  EXPECT_LT(MaxDifference(output->states, PlainForward(model, c).states), 1e-4);
}

// A prefill after a shared prefix writes its own blocks alone: the prefix's other user sees what it
// saw before. Copies come first, in order. `vocab`: the model's.
inline void ExpectSharedBlocksAreLeftAlone(Executor& executor, int64_t vocab, double bound) {
  const Tokens prefix = RandomTokens(40, vocab, 4);  // two blocks of 16 and a half
  Tokens one = prefix, two = prefix;
  for (const TokenId t : RandomTokens(30, vocab, 5)) one.push_back(t);
  for (const TokenId t : RandomTokens(30, vocab, 6)) two.push_back(t);
  const std::vector<float> alone_one = Whole(executor, one, Blocks(100, 5));
  const std::vector<float> alone_two = Whole(executor, two, Blocks(110, 5));
  Whole(executor, prefix, Blocks(0, 3));
  const std::vector<BlockId> table_one = {0, 1, 2, 3, 4};
  const std::vector<BlockId> table_two = {0, 1, 5, 6, 7};  // 5 is a copy of 2
  const auto rest = [](const Tokens& tokens) { return std::span(tokens).subspan(40); };
  const auto output = executor.Run(
      {.copies = {{.from = 2, .to = 6}, {.from = 6, .to = 5}},
       .slices = {{.tokens = rest(one), .position = 40, .blocks = table_one, .logits = 30},
                  {.tokens = rest(two), .position = 40, .blocks = table_two, .logits = 30}}});
  ASSERT_TRUE(output.ok()) << output.status();
  const auto row = static_cast<size_t>(vocab);
  ASSERT_EQ(output->logits.size(), 60 * row);
  ExpectWithin(output->logits.subspan(0, 30 * row), std::span(alone_one).subspan(40 * row), bound);
  ExpectWithin(output->logits.subspan(30 * row), std::span(alone_two).subspan(40 * row), bound);
}

inline std::vector<std::pair<std::string, ModelFolder>> Models() {
  LlamaSizes grouped, tied, stretched, qwen2;
  tied.tied = true;
  tied.kv_heads = 4;
  tied.attention_bias = tied.mlp_bias = true;
  stretched.head_dim = 24;  // no power of two, and heads · head_dim is not d_model
  stretched.rope_scaling =
      R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64})";
  qwen2.type = "qwen2";
  return {{"gpt2", RandomGpt2(2, 3, 48, 256, 131)},
          {"gpt2 without bias", RandomGpt2(2, 2, 40, 256, 97, false)},
          {"llama, grouped queries, own head", RandomLlama(grouped)},
          {"llama, tied, biases", RandomLlama(tied)},
          {"llama, llama3 scaling", RandomLlama(stretched)},
          {"qwen2", RandomLlama(qwen2)}};
}

}  // namespace longrun::serving
