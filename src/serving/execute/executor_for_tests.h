// What the tests of executors share: folders that vanish, tokens, blocks, comparisons, and small
// models of both families.
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

inline std::vector<std::pair<std::string, ModelFolder>> Models() {
  LlamaSizes grouped, tied, stretched;
  tied.tied = true;
  tied.kv_heads = 4;
  tied.attention_bias = tied.mlp_bias = true;
  stretched.head_dim = 24;  // no power of two, and heads · head_dim is not d_model
  stretched.rope_scaling =
      R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64})";
  return {{"gpt2", RandomGpt2(2, 3, 48, 256, 131)},
          {"gpt2 without bias", RandomGpt2(2, 2, 40, 256, 97, false)},
          {"llama, grouped queries, own head", RandomLlama(grouped)},
          {"llama, tied, biases", RandomLlama(tied)},
          {"llama, llama3 scaling", RandomLlama(stretched)}};
}

}  // namespace longrun::serving
