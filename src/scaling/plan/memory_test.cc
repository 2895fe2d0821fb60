#include "scaling/plan/memory.h"

#include <gtest/gtest.h>

namespace longrun::scaling {
namespace {

constexpr double kGb = 1e9;

// 7.5 billion parameters, nearly all in layers, as in ZeRO's running example.
ModelShape SevenAndAHalfBillion() { return {62, 3200, 32, 32, 100, 12800, false, 0, false}; }

RankMemory State(int64_t data, Layout::Sharding sharding) {
  Layout layout;
  layout.data = data;
  layout.sharding = sharding;
  return TrainingMemory(SevenAndAHalfBillion(), layout, Precision{2, 2, 12}, 1024);
}

double Bytes(const RankMemory& memory) {
  return memory.parameters + memory.gradients + memory.optimizer;
}

// Rajbhandari et al. 2020, figure 1: 120 GB without sharding, 31.4 GB with the optimizer's state
// over 64 ranks, 1.9 GB with all of it.
TEST(PlanMemoryTest, ZerosTable) {
  const double params = SevenAndAHalfBillion().Params();
  ASSERT_NEAR(params, 7.5e9, 0.15e9);
  const double scale = 7.5e9 / params;
  EXPECT_NEAR(scale * Bytes(State(1, Layout::Sharding::kOptimizer)) / kGb, 120, 0.1);
  EXPECT_NEAR(scale * Bytes(State(64, Layout::Sharding::kOptimizer)) / kGb, 31.4, 0.1);
  // Besides the shard there are two gathered layers and a gradient of one.
  const double layer = SevenAndAHalfBillion().LayerParams();
  const double gathered = 2 * 2 * layer + 2 * layer;
  EXPECT_NEAR(scale * (Bytes(State(64, Layout::Sharding::kAll)) - gathered) / kGb, 1.9, 0.05);
}

// Mixed-precision Adam: 16 bytes a parameter, 18 where gradients are summed in single precision.
TEST(PlanMemoryTest, BytesPerParameter) {
  EXPECT_EQ((Precision{2, 2, 12}).total(), 16);
  EXPECT_EQ(Precision{}.total(), 18);
  Layout one;
  const ModelShape shape{32, 4096, 32, 32, 128, 11008, true, 32000, false};  // Llama 7B
  EXPECT_NEAR(shape.Params(), 6.74e9, 0.01e9);
  EXPECT_NEAR(Bytes(TrainingMemory(shape, one, Precision{}, 2048)) / kGb, 121.3, 0.1);
}

// Korthikanti et al. 2022, table 2: 34·s·b·h a layer without the attention scores, 2 of them masks.
TEST(PlanMemoryTest, ALayersActivations) {
  const ModelShape gpt3{96, 12288, 96, 96, 128, 49152, false, 50257, true};
  EXPECT_DOUBLE_EQ(LayerActivationBytes(gpt3, 2048), 32.0 * 2048 * 12288);
}

TEST(PlanMemoryTest, ActivationsByHand) {
  const ModelShape gpt3{96, 12288, 96, 96, 128, 49152, false, 50257, true};
  const double layer = 32.0 * 2048 * 12288, logits = 4.0 * 2048 * (12288 + 50257);
  const double input = 2.0 * 2048 * 12288;
  const auto activations = [&](Layout layout) {
    return TrainingMemory(gpt3, layout, Precision{}, 2048).activations;
  };
  Layout layout;
  EXPECT_DOUBLE_EQ(activations(layout), 96 * layer + logits);
  layout.recompute = true;
  EXPECT_DOUBLE_EQ(activations(layout), 96 * input + layer + logits);
  layout.recompute = false;
  layout.tensor = 8;
  EXPECT_DOUBLE_EQ(activations(layout), (96 * layer + logits) / 8);
  // A first of 8 stages keeps 8 micro-batches of 12 layers, 1 + 7/(8·12) times with interleaving.
  layout.pipeline = 8;
  layout.chunks = 12;
  layout.microbatches = 64;
  EXPECT_DOUBLE_EQ(activations(layout), (96 * (1 + 7.0 / 96) * layer + logits) / 8);
  layout.chunks = 1;
  EXPECT_DOUBLE_EQ(activations(layout), (96 * layer + logits) / 8);
  layout.microbatches = 2;
  EXPECT_DOUBLE_EQ(activations(layout), (24 * layer + logits) / 8);
}

TEST(PlanMemoryTest, CuttingFurtherNeverNeedsMore) {
  const ModelShape shape = ShapeOf(70e9, 32000);
  Layout layout;
  double before = TrainingMemory(shape, layout, Precision{}, 4096).total();
  for (const auto grow : {&Layout::tensor, &Layout::data, &Layout::tensor, &Layout::data}) {
    layout.*grow *= 2;
    const double now = TrainingMemory(shape, layout, Precision{}, 4096).total();
    EXPECT_LT(now, before) << layout.Describe();
    before = now;
  }
}

TEST(PlanMemoryTest, ServingByHand) {
  // Llama 3 405B in bf16 needs 812 GB: 16 of 80 GB hold it, 8 do not.
  const ModelShape llama{126, 16384, 128, 8, 128, 53248, true, 128256, false};
  EXPECT_EQ(ServingMemoryOf(llama, 8, 72e9, 8192).sequences, 0);
  const ServingMemory on_16 = ServingMemoryOf(llama, 16, 72e9, 8192);
  EXPECT_NEAR(on_16.weights_bytes * 16, 811.7e9, 0.1e9);
  EXPECT_DOUBLE_EQ(on_16.kv_bytes_per_sequence, 504.0 * 1024 * 8192);
  EXPECT_EQ(on_16.sequences, 80);  // (16 · 72e9 − 811.7e9) / 4.228e9 = 80.5
}

}  // namespace
}  // namespace longrun::scaling
