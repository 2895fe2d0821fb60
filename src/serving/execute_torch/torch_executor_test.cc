#include "serving/execute_torch/torch_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "serving/execute/cpu_executor.h"
#include "serving/execute/executor_for_tests.h"

namespace longrun::serving {
namespace {

using testing::HasSubstr;

// f32 sums of another order: of logits up to 5.
constexpr double kBound = 1e-4;

void Allocate(Executor& executor, KvType kv, int64_t block_tokens) {
  const absl::Status status = executor.AllocateCache(4096 / block_tokens, block_tokens, kv);
  EXPECT_TRUE(status.ok()) << status;
}

std::unique_ptr<Executor> Open(const std::string& folder, const std::string& weights = "f32",
                               KvType kv = KvType::kF32, int64_t block_tokens = 16) {
  auto executor = OpenTorchExecutor(folder, {.weights = weights, .threads = 2});
  EXPECT_TRUE(executor.ok()) << executor.status();
  if (!executor.ok()) return nullptr;
  Allocate(**executor, kv, block_tokens);
  return *std::move(executor);
}

std::unique_ptr<Executor> OpenCpu(const std::string& folder) {
  auto executor = OpenCpuExecutor(folder, {.weights = CpuWeightType::kF32, .threads = 2});
  EXPECT_TRUE(executor.ok()) << executor.status();
  Allocate(**executor, KvType::kF32, 16);
  return *std::move(executor);
}

TEST(TorchExecutor, LogitsAndStatesAreThoseOfTheCpuExecutor) {
  for (const auto& [name, model] : Models()) {
    SCOPED_TRACE(name);
    const Folder folder(model);
    const Tokens tokens = RandomTokens(150, model.config().vocab_size, 5);
    const std::vector<BlockId> blocks = Blocks(3, 10);
    const Slice slice = {.tokens = tokens, .blocks = blocks, .logits = 150, .states = true};
    const auto executor = Open(folder.path()), cpu = OpenCpu(folder.path());
    const auto output = executor->Run({.slices = {slice}});
    ASSERT_TRUE(output.ok()) << output.status();
    const auto expected = cpu->Run({.slices = {slice}});
    ASSERT_TRUE(expected.ok()) << expected.status();
    EXPECT_LT(MaxDifference(output->logits, expected->logits), kBound);
    EXPECT_LT(MaxDifference(output->states, expected->states), kBound);
  }
}

// More queries and keys than one product of scores takes.
TEST(TorchExecutor, LongPromptsGoPieceByPiece) {
  const ModelFolder model = RandomGpt2(2, 8, 32, 1024, 131);
  const Folder folder(model);
  const Tokens tokens = RandomTokens(1000, 131, 6);
  EXPECT_LT(MaxDifference(Whole(*Open(folder.path()), tokens, Blocks(0, 63)),
                          Whole(*OpenCpu(folder.path()), tokens, Blocks(0, 63))),
            kBound);
}

// bf16 keeps 8 bits: weights, activations and at last the logits (up to about 5) are rounded to
// it, each by up to 2^-9 of its value.
TEST(TorchExecutor, NarrowWeightsAndKeysStayNear) {
  for (const auto& [name, model] : Models()) {
    const Folder folder(model);
    const Tokens tokens = RandomTokens(100, model.config().vocab_size, 6);
    const PlainResult plain = PlainForward(model, tokens);
    for (const auto& [weights, kv, bound] :
         {std::tuple("f32", KvType::kBF16, 0.05), std::tuple("f32", KvType::kInt8, 0.1),
          std::tuple("bf16", KvType::kBF16, 0.15), std::tuple("bf16", KvType::kF32, 0.15)}) {
      SCOPED_TRACE(fmt::format("{}, weights {}, kv {}", name, weights, static_cast<int>(kv)));
      const auto executor = Open(folder.path(), weights, kv);
      const double difference = MaxDifference(Whole(*executor, tokens, Blocks(0, 7)), plain.logits);
      EXPECT_LT(difference, bound);
      EXPECT_GT(difference, 1e-4);  // it is narrow indeed
      RecordProperty(fmt::format("{}.{}.{}", name, weights, static_cast<int>(kv)),
                     fmt::format("{}", difference));
    }
  }
}

TEST(TorchExecutor, FilesOfHalvesAreRead) {
  const ModelFolder model = RandomLlama({});
  const Tokens tokens = RandomTokens(40, 131, 7);
  for (const model::DType dtype : {model::DType::kF16, model::DType::kBF16}) {
    const Folder folder(model, dtype);
    EXPECT_LT(MaxDifference(Whole(*Open(folder.path()), tokens, Blocks(0, 3)),
                            Whole(*OpenCpu(folder.path()), tokens, Blocks(0, 3))),
              kBound);
  }
}

// ---- a row's result depends on its own sequence ----

struct Setup {
  const char* name;
  const char* weights;
  KvType kv;
  double bound;  // what another order of sums may change
};

class Invariance : public testing::TestWithParam<Setup> {
 protected:
  std::unique_ptr<Executor> OpenThis(const Folder& folder, int64_t block_tokens = 16) {
    return Open(folder.path(), GetParam().weights, GetParam().kv, block_tokens);
  }
  void ExpectNear(std::span<const float> a, std::span<const float> b, const std::string& what) {
    const double difference = MaxDifference(a, b);
    EXPECT_LT(difference, GetParam().bound) << what;
    most_ = std::max(most_, difference);
  }
  void TearDown() override { RecordProperty("most", fmt::format("{}", most_)); }

 private:
  double most_ = 0;
};

TEST_P(Invariance, ChunksBlocksAndOrder) {
  for (const auto& [name, model] : Models()) {
    SCOPED_TRACE(name);
    const Folder folder(model);
    const Tokens tokens = RandomTokens(200, model.config().vocab_size, 8);
    const auto one = OpenThis(folder);
    const std::vector<float> whole = Whole(*one, tokens, Blocks(0, 13));
    EXPECT_TRUE(SameBits(whole, Whole(*one, tokens, Blocks(30, 13)))) << "other blocks";
    ExpectNear(whole, Whole(*OpenThis(folder, 8), tokens, Blocks(7, 25)), "blocks of 8");
    ExpectNear(whole, Whole(*OpenThis(folder, 128), tokens, Blocks(1, 2)), "blocks of 128");
    ExpectNear(whole, InChunks(*one, tokens, ShuffledBlocks(20, 13)), "chunks");
  }
}

// Sequences of all lengths, each with its own chunk under way: decode, prefill, a few drafted
// tokens, in the midst.
TEST_P(Invariance, AloneAndAmongOthers) {
  for (const auto& [name, model] : Models()) {
    SCOPED_TRACE(name);
    const Folder folder(model);
    const int64_t vocab = model.config().vocab_size;
    const auto executor = OpenThis(folder);
    constexpr size_t kSequences = 9;
    std::vector<Tokens> sequences;
    std::vector<std::vector<float>> alone;
    std::vector<std::vector<BlockId>> tables;
    for (size_t s = 0; s < kSequences; ++s) {
      sequences.push_back(RandomTokens(5 + 17 * static_cast<int64_t>(s), vocab, 20 + s));
      alone.push_back(Whole(*executor, sequences.back(), Blocks(0, 10)));
      tables.push_back(Blocks(static_cast<BlockId>(20 + 10 * s), 10));
    }
    std::vector<size_t> done(kSequences, 0);
    std::vector<std::vector<float>> together(kSequences);
    for (size_t round = 0; round < 200; ++round) {
      constexpr size_t kChunks[] = {1, 1, 5, 1, 23, 1};
      StepInput input;
      std::vector<size_t> who;
      for (size_t s = 0; s < kSequences; ++s) {
        const size_t n = std::min(sequences[s].size() - done[s], kChunks[(s / 3 + round) % 6]);
        if (n == 0 || (round + s) % 4 == 3) continue;
        input.slices.push_back({.tokens = std::span(sequences[s]).subspan(done[s], n),
                                .position = static_cast<int64_t>(done[s]),
                                .blocks = tables[s],
                                .logits = static_cast<int64_t>(n)});
        done[s] += n;
        who.push_back(s);
      }
      if (who.empty()) continue;
      const auto output = executor->Run(input);
      ASSERT_TRUE(output.ok()) << output.status();
      const float* logits = output->logits.data();
      for (size_t i = 0; i < who.size(); ++i) {
        const float* end = logits + input.slices[i].logits * vocab;
        together[who[i]].insert(together[who[i]].end(), logits, end);
        logits = end;
      }
    }
    for (size_t s = 0; s < kSequences; ++s) {
      ExpectNear(alone[s], together[s], fmt::format("sequence {}", s));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Invariance,
                         testing::Values(Setup{"f32", "f32", KvType::kF32, kBound},
                                         Setup{"int8_cache", "f32", KvType::kInt8, 0.01},
                                         Setup{"bf16", "bf16", KvType::kBF16, 0.1}),
                         [](const auto& setup) { return setup.param.name; });

// ---- leaks ----

TEST(TorchExecutorLeaks, LogitsGoToWhoAskedForThem) {
  const ModelFolder model = RandomGpt2(2, 3, 48, 256, 131);
  const Folder folder(model);
  ExpectLogitsGoToWhoAskedForThem(*Open(folder.path()), model, kBound);
}

TEST(TorchExecutorLeaks, SharedBlocksAreLeftAlone) {
  const Folder folder(RandomLlama({}));
  for (const auto& [kv, bound] : {std::pair(KvType::kF32, kBound), std::pair(KvType::kInt8, 0.1)}) {
    ExpectSharedBlocksAreLeftAlone(*Open(folder.path(), "f32", kv), 131, bound);
  }
}

// What lay in a block before has no part in the result, not even where it is not a number: neither
// for a sequence by itself nor for one that is padded to the length of others.
TEST(TorchExecutorLeaks, OldContentOfBlocksHasNoPart) {
  const Folder folder(RandomLlama({}));
  for (const KvType kv : {KvType::kF32, KvType::kBF16}) {
    const auto executor = Open(folder.path(), "f32", kv);
    const Tokens a = RandomTokens(37, 131, 4), b = RandomTokens(23, 131, 5);
    const std::vector<BlockId> blocks_a = {12, 10, 11}, blocks_b = {13, 15};
    const auto run = [&] {
      std::vector<float> logits;
      for (size_t i = 0; i < 3; ++i) {  // both prompts, then a token of each at once, twice
        StepInput input;
        for (const auto& [tokens, blocks] : {std::pair(&a, &blocks_a), std::pair(&b, &blocks_b)}) {
          const size_t at = i == 0 ? 0 : tokens->size() - 3 + i,
                       n = i == 0 ? tokens->size() - 2 : 1;
          input.slices.push_back({.tokens = std::span(*tokens).subspan(at, n),
                                  .position = static_cast<int64_t>(at),
                                  .blocks = *blocks,
                                  .logits = 1});
        }
        const auto output = executor->Run(input);
        EXPECT_TRUE(output.ok()) << output.status();
        logits.insert(logits.end(), output->logits.begin(), output->logits.end());
      }
      return logits;
    };
    const std::vector<float> fresh = run();
    std::vector<std::byte> bytes;
    const std::vector<BlockId> all = Blocks(0, 30);
    ASSERT_TRUE(executor->SwapOut(all, &bytes).ok());
    ASSERT_TRUE(executor->SwapIn(std::vector<std::byte>(bytes.size(), std::byte{0xff}), all).ok());
    EXPECT_TRUE(SameBits(fresh, run()));
  }
}

// ---- blocks to host memory and back; on the CPU nobody asks for it, but the way is the same ----

TEST(TorchExecutor, BlocksComeBackFromHostMemory) {
  for (const KvType kv : {KvType::kF32, KvType::kBF16, KvType::kInt8}) {
    const Folder folder(RandomLlama({}));
    const auto executor = Open(folder.path(), "f32", kv);
    EXPECT_FALSE(executor->swaps());
    const Tokens tokens = RandomTokens(41, 131, 4), others = RandomTokens(48, 131, 5);
    const std::vector<BlockId> from = {7, 2, 5}, to = {9, 30, 1};
    const auto last = [&](const std::vector<BlockId>& blocks) {
      const auto output = executor->Run({.slices = {{.tokens = std::span(tokens).subspan(40),
                                                     .position = 40,
                                                     .blocks = blocks,
                                                     .logits = 1}}});
      EXPECT_TRUE(output.ok()) << output.status();
      return Copy(output->logits);
    };
    Whole(*executor, tokens, from);
    const std::vector<float> before = last(from);
    std::vector<std::byte> bytes;
    ASSERT_TRUE(executor->SwapOut(from, &bytes).ok());
    EXPECT_EQ(static_cast<int64_t>(bytes.size()), 3 * 16 * executor->shape().KvBytesPerToken(kv));
    Whole(*executor, others, from);
    ASSERT_TRUE(executor->SwapIn(bytes, to).ok());
    EXPECT_TRUE(SameBits(before, last(to)));
    const auto invalid = absl::StatusCode::kInvalidArgument;
    EXPECT_EQ(executor->SwapIn(std::span(bytes).subspan(1), to).code(), invalid);
    EXPECT_EQ(executor->SwapIn(bytes, Blocks(0, 2)).code(), invalid);
    EXPECT_EQ(executor->SwapOut(Blocks(255, 2), &bytes).code(), invalid);
  }
}

// ---- what is refused ----

TEST(TorchExecutor, WrongStepsAreRefused) {
  const Folder folder(RandomGpt2(1, 2, 16, 64, 50));
  const auto executor = OpenTorchExecutor(folder.path(), {});
  ASSERT_TRUE(executor.ok()) << executor.status();
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ((*executor)->Run({}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ((*executor)->AllocateCache(4, 12, KvType::kF32).code(), invalid);
  EXPECT_EQ((*executor)->AllocateCache(int64_t{1} << 30, 16, KvType::kF32).code(),
            absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE((*executor)->AllocateCache(4, 16, KvType::kF32).ok());
  EXPECT_EQ((*executor)->AllocateCache(4, 16, KvType::kF32).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE((*executor)->Run({}).ok());
  const Tokens tokens = {1, 2, 3}, wrong = {1, 50};
  const std::vector<BlockId> blocks = {0, 3}, outside = {4};
  const auto code = [&](const Slice& slice) {
    return (*executor)->Run({.slices = {slice}}).status().code();
  };
  EXPECT_EQ(code({.tokens = wrong, .blocks = blocks}), invalid);
  EXPECT_EQ(code({.tokens = tokens, .blocks = outside}), invalid);
  EXPECT_EQ(code({.tokens = tokens, .position = 62, .blocks = blocks}), invalid);
  EXPECT_EQ(code({.tokens = tokens, .blocks = blocks, .logits = 3}), absl::StatusCode::kOk);
}

TEST(TorchExecutor, DevicesAndTypesThatAreNotThereAreRefused) {
  const Folder folder(RandomGpt2(1, 2, 16, 64, 50));
  const auto error = [&](const std::string& device, const std::string& weights) {
    return OpenTorchExecutor(folder.path(), {.device = device, .weights = weights}).status();
  };
  for (const char* name : {"gpu", "", "cuda:", "cuda:-1", "cuda:x", "cpu:0"}) {
    const absl::Status status = error(name, "auto");
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(status.message()), HasSubstr("cpu, cuda and cuda:N")) << name;
  }
  const absl::Status absent = error("cuda:99", "auto");
  EXPECT_EQ(absent.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(absent.message()), HasSubstr("device cuda:99"));
  for (const char* weights : {"int8", "f16", "f64"}) {
    const absl::Status status = error("cpu", weights);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << weights;
    EXPECT_THAT(std::string(status.message()), HasSubstr(weights));
  }
  EXPECT_TRUE(HasOwnMemory("cuda:1"));
  EXPECT_FALSE(HasOwnMemory("cpu"));
  EXPECT_EQ(FreeDeviceBytes("cpu").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(TorchExecutor, DamagedFilesAreRefusedByName) {
  ModelFolder model = RandomLlama({});
  model.tensors.at("model.layers.1.mlp.up_proj.weight").values[7] =
      std::numeric_limits<float>::infinity();
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  {
    const Folder folder(model);
    const absl::Status status = OpenTorchExecutor(folder.path(), {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
    EXPECT_THAT(std::string(status.message()), HasSubstr("not finite"));
  }
  model.tensors.erase(name);
  const Folder folder(model);
  const absl::Status status = OpenTorchExecutor(folder.path(), {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(name));
}

TEST(TorchExecutor, ShapeCountsWhatIsThere) {
  for (const auto& [name, model] : Models()) {
    SCOPED_TRACE(name);
    const Folder folder(model);
    const auto executor = Open(folder.path()), cpu = OpenCpu(folder.path());
    const ModelShape &shape = executor->shape(), &expected = cpu->shape();
    EXPECT_EQ(shape.parameters, expected.parameters);
    EXPECT_EQ(shape.weight_bytes, 4 * shape.parameters);
    EXPECT_LE(shape.weight_bytes_per_step, shape.weight_bytes);
    EXPECT_EQ(shape.flops_per_token, expected.flops_per_token);
    EXPECT_EQ(shape.flops_of_end, expected.flops_of_end);
    EXPECT_EQ(shape.flops_of_head, expected.flops_of_head);
    EXPECT_GT(executor->ActivationBytes(100, 1), executor->ActivationBytes(10, 1));
    EXPECT_GT(executor->ActivationBytes(100, 9), executor->ActivationBytes(100, 1));
  }
}

TEST(TorchExecutor, WorkBetweenStepsIsDoneOnceEach) {
  const Folder folder(RandomGpt2(1, 2, 16, 64, 50));
  const auto executor = Open(folder.path());
  std::vector<int> done(1000);
  executor->ForEach(1000, [&](int64_t unit) { ++done[static_cast<size_t>(unit)]; });
  EXPECT_EQ(done, std::vector<int>(1000, 1));
}

TEST(TorchExecutor, CeilingsAreMeasured) {
  const auto ceilings = MeasureTorchCeilings("cpu", 2);
  ASSERT_TRUE(ceilings.ok()) << ceilings.status();
  EXPECT_GT(ceilings->read_bytes_per_second, 1e8);
  EXPECT_GT(ceilings->f32_flops_per_second, 1e8);
  EXPECT_GT(ceilings->bf16_flops_per_second, 1e7);
}

}  // namespace
}  // namespace longrun::serving
