#include "serving/schedule/memory_plan.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

using testing::HasSubstr;

// GPT-2 of 124M in bf16: 36,864 bytes of keys and values a token.
MemoryQuestion Gpt2(double limit_bytes) {
  MemoryQuestion q;
  q.shape.layers = 12;
  q.shape.kv_heads = q.shape.heads = 12;
  q.shape.head_dim = 64;
  q.shape.d_model = 768;
  q.shape.context = 1024;
  q.shape.weight_bytes = 248'000'000;
  q.kv_type = KvType::kBF16;
  q.limit_bytes = limit_bytes;
  q.reserved = {{"program", 20e6}, {"requests", 30e6}};
  q.activation_bytes = 100e6;
  q.int8_weight_bytes = 130e6;
  return q;
}

TEST(MemoryPlan, DividesWhatThereIs) {
  const auto plan = PlanMemory(Gpt2(1e9));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->blocks, static_cast<int64_t>(602e6 / (36'864 * 16)));
  EXPECT_EQ(plan->tokens, plan->blocks * 16);
  EXPECT_LE(plan->cache_bytes + 398e6, 1e9);
  ASSERT_FALSE(plan->fits.empty());
  EXPECT_EQ(plan->fits[0].sequence_tokens, 1024);
  EXPECT_EQ(plan->fits[0].sequences, plan->blocks / 64);
  EXPECT_THAT(Table(*plan), HasSubstr("blocks of 16 tokens"));
  EXPECT_EQ(plan->reserved_bytes, 50e6);
  EXPECT_THAT(Table(*plan), HasSubstr("50.0 MB  20.0 MB program\n" + std::string(27, ' ') +
                                      "30.0 MB requests\n"));
}

TEST(MemoryPlan, TakesNoMoreThanItsSequencesCanUse) {
  MemoryQuestion q = Gpt2(1e12);
  q.max_sequences = 4;
  EXPECT_EQ(PlanMemory(q)->tokens, 4 * 1024);
  q.cache_tokens = 100;
  EXPECT_EQ(PlanMemory(q)->blocks, 7);
}

TEST(MemoryPlan, SaysWhatWouldFit) {
  // One context takes 37.7 MB in bf16, 20.1 MB in int8; here are 36.5 MB, of which 16 MB are left
  // for what another start may take.
  const absl::Status status = PlanMemory(Gpt2(434.5e6)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  const std::string message(status.message());
  EXPECT_THAT(message,
              HasSubstr("what would fit: --context 544, or --cache int8, or --weights int8, or "));
  EXPECT_THAT(message, HasSubstr("--memory 452M"));
}

TEST(MemoryPlan, AdvisesNothingThatWouldNotFit) {
  const std::string message(PlanMemory(Gpt2(200e6)).status().message());
  EXPECT_THAT(message, testing::Not(HasSubstr("--context")));
  EXPECT_THAT(message, testing::Not(HasSubstr("int8")));
  EXPECT_THAT(message, HasSubstr("--memory 452M"));
}

TEST(MemoryPlan, RefusesACacheThatIsTooLarge) {
  MemoryQuestion q = Gpt2(1e9);
  q.cache_tokens = 1'000'000;
  EXPECT_THAT(std::string(PlanMemory(q).status().message()), HasSubstr("room for"));
}

}  // namespace
}  // namespace longrun::serving
