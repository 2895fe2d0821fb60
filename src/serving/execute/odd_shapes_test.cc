// Shapes that fit no vector, panel or tile: what lies behind an end must neither be read nor
// written, and has no part in a result.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "serving/execute/cpu_executor.h"
#include "serving/execute/executor_for_tests.h"
#include "serving/execute/kernels.h"

namespace longrun::serving {
namespace {

struct Shape {
  std::string name;
  ModelFolder model;
};

std::vector<Shape> OddShapes() {
  LlamaSizes least, narrow, all_share, wide, prime;
  least = {.layers = 1, .heads = 1, .kv_heads = 1, .head_dim = 2, .d_model = 2, .d_ff = 2};
  least.context = 9, least.vocab = 1;
  narrow = {.layers = 2, .heads = 3, .kv_heads = 1, .head_dim = 6, .d_model = 10, .d_ff = 14};
  narrow.context = 19, narrow.vocab = 33;
  // As many as one unit of attention takes.
  all_share = {.layers = 2, .heads = kQueryRows, .kv_heads = 1, .head_dim = 4, .d_model = 34};
  all_share.d_ff = 18, all_share.context = 70, all_share.vocab = 65;
  wide = {.layers = 1, .heads = 4, .kv_heads = 2, .head_dim = 66, .d_model = 30, .d_ff = 34};
  wide.context = 66, wide.vocab = 129, wide.attention_bias = wide.mlp_bias = true;
  prime = {.layers = 2, .heads = 7, .kv_heads = 7, .head_dim = 48, .d_model = 62, .d_ff = 46};
  prime.context = 35, prime.vocab = 31, prime.tied = true;
  return {{"least", RandomLlama(least)},
          {"narrow", RandomLlama(narrow)},
          {"all heads share a key", RandomLlama(all_share)},
          {"wide heads", RandomLlama(wide)},
          {"nothing divides", RandomLlama(prime)},
          {"gpt2, small", RandomGpt2(2, 3, 6, 7, 5)},
          {"gpt2, one behind", RandomGpt2(1, 5, 130, 65, 257)}};
}

struct Types {
  CpuWeightType weights;
  KvType kv;
};
constexpr std::array<Types, 3> kTypes = {{{CpuWeightType::kF32, KvType::kF32},
                                          {CpuWeightType::kBF16, KvType::kBF16},
                                          {CpuWeightType::kInt8, KvType::kInt8}}};

std::unique_ptr<Executor> Open(const Folder& folder, const CpuOptions& options, int64_t blocks,
                               int64_t block_tokens, KvType kv) {
  auto executor = OpenCpuExecutor(folder.path(), options);
  EXPECT_TRUE(executor.ok()) << executor.status();
  if (!executor.ok()) return nullptr;
  const absl::Status status = (*executor)->AllocateCache(blocks, block_tokens, kv);
  EXPECT_TRUE(status.ok()) << status;
  return *std::move(executor);
}

int64_t BlocksFor(int64_t tokens, int64_t block_tokens) {
  return (tokens + block_tokens - 1) / block_tokens;
}

// `rows` sequences of the same tokens, each a token behind the one before: steps of 1 to `rows`
// rows, to the end of the context. Returns whether all came to the logits `whole`.
bool Decode(Executor& executor, const Tokens& tokens, int64_t rows, int64_t block_tokens,
            const std::vector<float>& whole) {
  const int64_t n = static_cast<int64_t>(tokens.size());
  const int64_t vocab = executor.shape().vocab_size;
  const int64_t each = BlocksFor(n, block_tokens);
  std::vector<std::vector<BlockId>> tables;
  for (int64_t i = 0; i < rows; ++i) tables.push_back(Blocks(static_cast<BlockId>(i * each), each));
  for (int64_t step = 0; step < n + rows - 1; ++step) {
    StepInput input;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t position = step - i;
      if (position < 0 || position >= n) continue;
      input.slices.push_back({.tokens = std::span(tokens).subspan(static_cast<size_t>(position), 1),
                              .position = position,
                              .blocks = tables[static_cast<size_t>(i)],
                              .logits = 1});
    }
    const auto output = executor.Run(input);
    EXPECT_TRUE(output.ok()) << output.status();
    if (!output.ok()) return false;
    for (size_t i = 0; i < input.slices.size(); ++i) {
      const auto row = static_cast<size_t>(vocab);
      const auto at = static_cast<size_t>(input.slices[i].position) * row;
      if (!SameBits(output->logits.subspan(i * row, row), std::span(whole).subspan(at, row))) {
        return false;
      }
    }
  }
  return true;
}

// The tokens in slices of `rows`, of which the last may have fewer.
bool Prefill(Executor& executor, const Tokens& tokens, int64_t rows, int64_t block_tokens,
             const std::vector<float>& whole) {
  const int64_t n = static_cast<int64_t>(tokens.size());
  const std::vector<BlockId> blocks = Blocks(0, BlocksFor(n, block_tokens));
  std::vector<float> logits;
  for (int64_t at = 0; at < n; at += rows) {
    const int64_t some = std::min(rows, n - at);
    const Slice slice = {
        .tokens = std::span(tokens).subspan(static_cast<size_t>(at), static_cast<size_t>(some)),
        .position = at,
        .blocks = blocks,
        .logits = some};
    const auto output = executor.Run({.slices = {slice}});
    EXPECT_TRUE(output.ok()) << output.status();
    if (!output.ok()) return false;
    logits.insert(logits.end(), output->logits.begin(), output->logits.end());
  }
  return SameBits(logits, whole);
}

class OddShape : public testing::TestWithParam<Types> {};

TEST_P(OddShape, AnyNumberOfRowsComesToTheSame) {
  for (const auto& [name, model] : OddShapes()) {
    const Folder folder(model);
    const ModelConfig config = model.config();
    const Tokens tokens = RandomTokens(config.context, config.vocab_size, 3);
    const PlainResult plain = PlainForward(model, tokens);
    for (const Kernels* kernels : UsableKernels()) {
      SCOPED_TRACE(name + ", " + kernels->name);
      const CpuOptions one = {
          .weights = GetParam().weights, .threads = 1, .instructions = kernels->name};
      const std::vector<float> whole =
          Whole(*Open(folder, one, 1, 1024, GetParam().kv), tokens, {0});
      if (GetParam().weights == CpuWeightType::kF32) {
        EXPECT_LT(MaxDifference(whole, plain.logits), 1e-4);
      }
      constexpr int64_t kMostRows = 13;  // a tile's, with any number of lanes, and one more
      const int64_t blocks_of_8 = BlocksFor(config.context, 8);
      const auto alone = Open(folder, one, kMostRows * blocks_of_8, 8, GetParam().kv);
      for (const int64_t rows : {1, 3, 4, 5}) {
        EXPECT_TRUE(Prefill(*alone, tokens, rows, 8, whole)) << rows;
      }
      EXPECT_TRUE(Decode(*alone, tokens, kMostRows, 8, whole));
      CpuOptions three = one;
      three.threads = 3;
      const auto shared = Open(folder, three, BlocksFor(config.context, 16), 16, GetParam().kv);
      EXPECT_TRUE(Prefill(*shared, tokens, 5, 16, whole));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, OddShape, testing::ValuesIn(kTypes));

// Their inverse is no float: they are less than the least step that int8 has.
TEST(OddShapes, ValuesTooSmallForInt8AreZero) {
  ModelFolder model = RandomLlama({});
  std::vector<float>& head = model.tensors.at("lm_head.weight").values;
  std::fill_n(head.begin(), 48, 1e-40f);
  head[0] = 0;
  for (const char* name : {"k_proj", "v_proj"}) {
    for (float& value :
         model.tensors.at(fmt::format("model.layers.0.self_attn.{}.weight", name)).values) {
      value *= 1e-39f;
    }
  }
  const Folder folder(model);
  const Tokens tokens = RandomTokens(20, 131, 2);
  const PlainResult plain = PlainForward(model, tokens);
  for (const Kernels* kernels : UsableKernels()) {
    SCOPED_TRACE(kernels->name);
    const auto weights =
        Open(folder, {.weights = CpuWeightType::kInt8, .instructions = kernels->name}, 2, 16,
             KvType::kF32);
    const std::vector<float> logits = Whole(*weights, tokens, Blocks(0, 2));
    EXPECT_EQ(logits.at(0), 0);
    EXPECT_LT(MaxDifference(logits, plain.logits), 0.3);
    const auto keys = Open(folder, {.weights = CpuWeightType::kF32, .instructions = kernels->name},
                           2, 16, KvType::kInt8);
    EXPECT_LT(MaxDifference(Whole(*keys, tokens, Blocks(0, 2)), plain.logits), 0.1);
  }
}

TEST(OddShapes, MoreHeadsOfAKeyThanAUnitTakesAreRefused) {
  LlamaSizes sizes = {.layers = 1, .heads = kQueryRows + 1, .kv_heads = 1, .head_dim = 2};
  const Folder folder(RandomLlama(sizes));
  EXPECT_EQ(OpenCpuExecutor(folder.path(), {}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace longrun::serving
