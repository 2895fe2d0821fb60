#include "serving/execute/cpu_executor.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "serving/execute/executor_for_tests.h"
#include "serving/execute/kernels.h"

namespace longrun::serving {
namespace {

std::unique_ptr<Executor> Open(const std::string& folder, CpuOptions options = {},
                               KvType kv = KvType::kF32, int64_t block_tokens = 16) {
  auto executor = OpenCpuExecutor(folder, options);
  EXPECT_TRUE(executor.ok()) << executor.status();
  if (!executor.ok()) return nullptr;
  const absl::Status status = (*executor)->AllocateCache(4096 / block_tokens, block_tokens, kv);
  EXPECT_TRUE(status.ok()) << status;
  return *std::move(executor);
}

std::vector<std::string> Instructions() {
  std::vector<std::string> names;
  for (const Kernels* kernels : UsableKernels()) names.push_back(kernels->name);
  return names;
}

TEST(CpuExecutor, LogitsAndStatesAreThoseOfPlainLoops) {
  for (const auto& [name, model] : Models()) {
    const Folder folder(model);
    const Tokens tokens = RandomTokens(150, model.config().vocab_size, 5);
    const PlainResult plain = PlainForward(model, tokens);
    for (const std::string& instructions : Instructions()) {
      SCOPED_TRACE(name + ", " + instructions);
      const auto executor = Open(folder.path(), {.instructions = instructions});
      const std::vector<BlockId> blocks = Blocks(3, 10);
      const Slice slice = {.tokens = tokens, .blocks = blocks, .logits = 150, .states = true};
      const auto output = executor->Run({.slices = {slice}});
      ASSERT_TRUE(output.ok()) << output.status();
      EXPECT_LT(MaxDifference(output->logits, plain.logits), 1e-4);
      EXPECT_LT(MaxDifference(output->states, plain.states), 1e-4);
    }
  }
}

// bf16 keeps 8 bits: each rounding is off by up to 2^-9 of its value, and a logit here is a sum of
// 48 products of about 1 after two layers of such roundings. int8 is a little finer than bf16 near
// a row's largest weight and coarser below. Logits are up to about 5.
TEST(CpuExecutor, NarrowWeightsAndKeysStayNear) {
  for (const auto& [name, model] : Models()) {
    const Folder folder(model);
    const Tokens tokens = RandomTokens(100, model.config().vocab_size, 6);
    const PlainResult plain = PlainForward(model, tokens);
    for (const std::string& instructions : Instructions()) {
      for (const auto& [type, kv, bound] : {std::tuple(CpuWeightType::kF32, KvType::kBF16, 0.05),
                                            std::tuple(CpuWeightType::kF32, KvType::kInt8, 0.1),
                                            std::tuple(CpuWeightType::kBF16, KvType::kBF16, 0.15),
                                            std::tuple(CpuWeightType::kInt8, KvType::kInt8, 0.3)}) {
        SCOPED_TRACE(fmt::format("{}, {}, weights {}, kv {}", name, instructions,
                                 static_cast<int>(type), static_cast<int>(kv)));
        const auto executor =
            Open(folder.path(), {.weights = type, .instructions = instructions}, kv);
        const double difference =
            MaxDifference(Whole(*executor, tokens, Blocks(0, 7)), plain.logits);
        EXPECT_LT(difference, bound);
        EXPECT_GT(difference, 1e-4);  // it is narrow indeed
      }
    }
  }
}

TEST(CpuExecutor, FilesOfHalvesAreRead) {
  const ModelFolder model = RandomLlama({});
  const Tokens tokens = RandomTokens(40, 131, 7);
  const PlainResult plain = PlainForward(model, tokens);
  for (const model::DType dtype : {model::DType::kF16, model::DType::kBF16}) {
    const Folder folder(model, dtype);
    const auto executor = Open(folder.path(), {.weights = CpuWeightType::kF32});
    const double bound = dtype == model::DType::kF16 ? 0.03 : 0.15;
    EXPECT_LT(MaxDifference(Whole(*executor, tokens, Blocks(0, 3)), plain.logits), bound);
  }
}

// ---- batch invariance: the same bits ----

struct Setup {
  CpuWeightType weights;
  KvType kv;
};

class Invariance : public testing::TestWithParam<Setup> {
 protected:
  std::unique_ptr<Executor> OpenThis(const Folder& folder, int threads, int64_t block_tokens = 16,
                                     const std::string& instructions = "") {
    return Open(folder.path(),
                {.weights = GetParam().weights, .threads = threads, .instructions = instructions},
                GetParam().kv, block_tokens);
  }
};

TEST_P(Invariance, ChunksThreadsBlocksAndOrder) {
  for (const auto& [name, model] : Models()) {
    const Folder folder(model);
    const Tokens tokens = RandomTokens(200, model.config().vocab_size, 8);
    for (const std::string& instructions : Instructions()) {
      SCOPED_TRACE(name + ", " + instructions);
      const auto one = OpenThis(folder, 1, 16, instructions);
      const std::vector<float> whole = Whole(*one, tokens, Blocks(0, 13));
      EXPECT_TRUE(
          SameBits(whole, Whole(*OpenThis(folder, 2, 16, instructions), tokens, Blocks(0, 13))))
          << "threads";
      EXPECT_TRUE(
          SameBits(whole, Whole(*OpenThis(folder, 3, 8, instructions), tokens, Blocks(7, 25))))
          << "blocks of 8";
      EXPECT_TRUE(
          SameBits(whole, Whole(*OpenThis(folder, 2, 128, instructions), tokens, Blocks(1, 2))))
          << "blocks of 128";
      EXPECT_TRUE(SameBits(whole, InChunks(*one, tokens, ShuffledBlocks(20, 13)))) << "chunks";
    }
  }
}

TEST_P(Invariance, AloneAndAmongOthers) {
  const ModelFolder model = RandomLlama({});
  const Folder folder(model);
  const auto executor = OpenThis(folder, 2);
  // Sequences of all lengths, each with its own chunk under way: decode, prefill, in the midst.
  constexpr int64_t kSequences = 9;
  std::vector<Tokens> sequences;
  std::vector<std::vector<float>> alone;
  for (int64_t s = 0; s < kSequences; ++s) {
    sequences.push_back(RandomTokens(5 + 17 * s, 131, 20 + static_cast<uint64_t>(s)));
    alone.push_back(Whole(*executor, sequences.back(), Blocks(0, 10)));
  }
  std::vector<std::vector<BlockId>> tables;
  for (BlockId s = 0; s < kSequences; ++s) tables.push_back(Blocks(20 + 10 * s, 10));
  std::vector<int64_t> done(kSequences, 0);
  std::vector<std::vector<float>> together(kSequences);
  for (int64_t round = 0; round < 200; ++round) {
    StepInput input;
    std::vector<size_t> who;
    for (size_t s = 0; s < kSequences; ++s) {
      const int64_t left = static_cast<int64_t>(sequences[s].size()) - done[s];
      const int64_t n = std::min<int64_t>(left, (s + static_cast<size_t>(round)) % 3 == 0 ? 1 : 23);
      if (n == 0 || (round + static_cast<int64_t>(s)) % 4 == 3) continue;
      input.slices.push_back(
          {.tokens = std::span(sequences[s])
                         .subspan(static_cast<size_t>(done[s]), static_cast<size_t>(n)),
           .position = done[s],
           .blocks = tables[s],
           .logits = n});
      done[s] += n;
      who.push_back(s);
    }
    const auto output = executor->Run(input);
    ASSERT_TRUE(output.ok()) << output.status();
    const float* logits = output->logits.data();
    for (size_t i = 0; i < who.size(); ++i) {
      const float* end = logits + input.slices[i].logits * 131;
      together[who[i]].insert(together[who[i]].end(), logits, end);
      logits = end;
    }
  }
  for (size_t s = 0; s < kSequences; ++s) EXPECT_TRUE(SameBits(alone[s], together[s])) << s;
}

INSTANTIATE_TEST_SUITE_P(Types, Invariance,
                         testing::Values(Setup{CpuWeightType::kF32, KvType::kF32},
                                         Setup{CpuWeightType::kBF16, KvType::kBF16},
                                         Setup{CpuWeightType::kInt8, KvType::kInt8}));

// ---- leaks that other engines had ----

TEST(CpuExecutorLeaks, LogitsGoToWhoAskedForThem) {
  const ModelFolder model = RandomGpt2(2, 3, 48, 256, 131);
  const Folder folder(model);
  ExpectLogitsGoToWhoAskedForThem(*Open(folder.path()), model, 0);
}

TEST(CpuExecutorLeaks, SharedBlocksAreLeftAlone) {
  const Folder folder(RandomLlama({}));
  ExpectSharedBlocksAreLeftAlone(*Open(folder.path()), 131, 0);
}

// What lay in a block before has no part in the result, not even where it is not a number.
TEST(CpuExecutorLeaks, OldContentOfBlocksHasNoPart) {
  const Folder folder(RandomLlama({}));
  const auto executor = Open(folder.path());
  const Tokens tokens = RandomTokens(37, 131, 4), others = RandomTokens(48, 131, 9);
  const std::vector<float> fresh = Whole(*executor, tokens, Blocks(0, 3));
  Whole(*executor, others, Blocks(10, 3));
  EXPECT_TRUE(SameBits(fresh, Whole(*executor, tokens, {12, 10, 11})));
}

// ---- what is refused ----

TEST(CpuExecutor, WrongStepsAreRefused) {
  const Folder folder(RandomGpt2(1, 2, 16, 64, 50));
  const auto executor = OpenCpuExecutor(folder.path(), {});
  ASSERT_TRUE(executor.ok()) << executor.status();
  EXPECT_EQ((*executor)->Run({}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ((*executor)->AllocateCache(4, 12, KvType::kF32).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*executor)->AllocateCache(int64_t{1} << 30, 16, KvType::kF32).code(),
            absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE((*executor)->AllocateCache(4, 16, KvType::kF32).ok());
  const Tokens tokens = {1, 2, 3}, wrong = {1, 50}, negative = {-1}, none = {};
  const std::vector<BlockId> blocks = {0, 3}, outside = {4}, empty = {};
  const auto code = [&](const Slice& slice) {
    return (*executor)->Run({.slices = {slice}}).status().code();
  };
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code({.tokens = none, .blocks = blocks}), invalid);
  EXPECT_EQ(code({.tokens = wrong, .blocks = blocks}), invalid);
  EXPECT_EQ(code({.tokens = negative, .blocks = blocks}), invalid);
  EXPECT_EQ(code({.tokens = tokens, .blocks = outside}), invalid);
  EXPECT_EQ(code({.tokens = tokens, .blocks = empty}), invalid);
  EXPECT_EQ(code({.tokens = tokens, .position = 62, .blocks = blocks}), invalid);
  EXPECT_EQ(code({.tokens = tokens, .position = 30, .blocks = blocks}), invalid);
  EXPECT_EQ(code({.tokens = tokens, .blocks = blocks, .logits = 4}), invalid);
  EXPECT_EQ((*executor)->Run({.copies = {{0, 4}}}).status().code(), invalid);
  EXPECT_EQ(code({.tokens = tokens, .blocks = blocks, .logits = 3}), absl::StatusCode::kOk);
}

TEST(CpuExecutor, AContextMayBeLessThanTheModels) {
  const ModelFolder model = RandomGpt2(2, 2, 32, 256, 97);
  const Folder folder(model);
  const auto executor = Open(folder.path(), {.context = 64});
  EXPECT_EQ(executor->shape().context, 64);
  const Tokens tokens = RandomTokens(64, 97, 5);
  EXPECT_LT(
      MaxDifference(Whole(*executor, tokens, Blocks(0, 4)), PlainForward(model, tokens).logits),
      1e-4);
  const auto more = OpenCpuExecutor(folder.path(), {.context = 257});
  EXPECT_EQ(more.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(more.status().message().find("allows 1 to 256"), std::string::npos) << more.status();
}

TEST(CpuExecutor, ShapeCountsWhatIsThere) {
  const ModelFolder model = RandomLlama({});
  const Folder folder(model);
  const auto executor = Open(folder.path());
  int64_t parameters = 0;
  for (const auto& [name, tensor] : model.tensors) {
    parameters += static_cast<int64_t>(tensor.values.size());
  }
  const ModelShape& shape = executor->shape();
  EXPECT_EQ(shape.parameters, parameters);
  EXPECT_EQ(shape.KvBytesPerToken(KvType::kF32), 2 * 2 * 2 * 16 * 4);
  EXPECT_EQ(shape.KvBytesPerToken(KvType::kInt8), 2 * 2 * 2 * (16 + 4));
  EXPECT_DOUBLE_EQ(shape.flops_of_head, 2.0 * 48 * 131);
  const double end = 2.0 * (48 * 64 + 3 * 48 * 104);  // the last layer behind its keys and values
  EXPECT_DOUBLE_EQ(shape.flops_of_end, end);
  EXPECT_DOUBLE_EQ(shape.flops_per_token,
                   2.0 * 2 * (48 * 64 * 2 + 48 * 32 * 2 + 3 * 48 * 104) - end);
  // Of 5 tokens behind 7, all attend in the first of two layers and two in the last, with 4 heads
  // of 16; a position costs a product with its key and one with its value.
  const std::vector<model::TokenId> tokens(5);
  const double first = 8 + 9 + 10 + 11 + 12, last = 11 + 12;
  const double logits = 2 * shape.flops_of_head;
  EXPECT_DOUBLE_EQ(shape.Flops({.tokens = tokens, .position = 7, .logits = 2}),
                   5 * shape.flops_per_token + 2 * end + logits + 4 * 64 * (first + last));
  EXPECT_DOUBLE_EQ(shape.Flops({.tokens = tokens, .position = 7, .states = true}),
                   5 * (shape.flops_per_token + end) + 4 * 64 * 2 * first);
  EXPECT_GE(shape.weight_bytes, 4 * (parameters - 131 * 48));
  EXPECT_GT(executor->ActivationBytes(100, 1), executor->ActivationBytes(10, 1));
}

}  // namespace
}  // namespace longrun::serving
