#include "scaling/plan/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

// 16,384 H100 as Llama 3 405B was trained on: 400 TFLOP/s of 989 with 16 stages and micro-batches.
Cluster Llama3Cluster() {
  Cluster cluster;
  cluster.name = "llama";
  cluster.peak_flops = 989e12;
  cluster.memory_bytes = 80e9;
  cluster.usable_memory = 0.96;
  cluster.link_bytes_per_s = 450e9;
  cluster.network_bytes_per_s = 50e9;
  cluster.nodes = 2048;
  cluster.accelerators_per_node = 8;
  cluster.efficiency = {0.41, "table 4", 8, 16, 16, 7, 16384, false};
  return cluster;
}

LayoutQuestion Llama3() {
  LayoutQuestion question;
  question.shape = {126, 16384, 128, 8, 128, 53248, true, 128256, false};
  question.context = 8192;
  question.batch_sequences = 2048;
  question.accelerators = 16384;
  return question;
}

Layout Llama3Layout(int64_t data) {
  Layout layout;
  layout.data = data;
  layout.tensor = 8;
  layout.pipeline = 16;
  layout.chunks = 7;
  layout.microbatches = 2048 / data;
  return layout;
}

// Dubey et al. 2024, table 4: 400 TFLOP/s on 16,384 accelerators, 430 on 8,192 with the same batch,
// whose stages wait half as long.
TEST(PlanLayoutTest, BubblesTellHalfTheClusterFromTheWhole) {
  const Cluster cluster = Llama3Cluster();
  const LayoutOverhead whole = OverheadOf(Llama3(), Llama3Layout(128), cluster);
  const LayoutOverhead half = OverheadOf(Llama3(), Llama3Layout(64), cluster);
  EXPECT_DOUBLE_EQ(whole.bubble, 15.0 / (7 * 16));
  EXPECT_DOUBLE_EQ(half.bubble, 15.0 / (7 * 32));
  EXPECT_NEAR(whole.slowdown() / half.slowdown(), 430.0 / 400, 0.015);
}

TEST(PlanLayoutTest, TheirLayoutFitsAndOursIsNoSlower) {
  const Cluster cluster = Llama3Cluster();
  const LayoutQuestion question = Llama3();
  const LayoutChoice choice = ChooseLayout(question, cluster).value();
  EXPECT_LE(choice.memory.total(), cluster.usable_bytes());
  EXPECT_LE(choice.layout.accelerators(), 16384);
  EXPECT_NEAR(static_cast<double>(choice.batch_sequences), 2048, 700);
  const RankMemory theirs =
      TrainingMemory(question.shape, Llama3Layout(128), question.precision, question.context);
  EXPECT_LT(theirs.total(), cluster.usable_bytes());  // no recomputation, as published
  const double their_speed = 16384 / OverheadOf(question, Llama3Layout(128), cluster).slowdown();
  EXPECT_GE(static_cast<double>(choice.layout.accelerators()) / choice.overhead.slowdown(),
            0.999 * their_speed);
}

// Narayanan et al. 2021, section 3.2, by hand: (2/9)·7·F/(h·W) for a plain layer of 12·h².
TEST(PlanLayoutTest, TensorParallelismByHand) {
  LayoutQuestion question = Llama3();
  question.shape = {96, 12288, 96, 96, 128, 49152, false, 50257, true};
  Layout layout;
  layout.tensor = 8;
  const Cluster cluster = Llama3Cluster();
  const double flops = 989e12 * 0.41;
  EXPECT_NEAR(OverheadOf(question, layout, cluster).tensor, 2.0 / 9 * 7 * flops / (12288 * 450e9),
              1e-12);
  layout.tensor = 1;
  EXPECT_EQ(OverheadOf(question, layout, cluster).tensor, 0);
}

TEST(PlanLayoutTest, SmallModelsAreNotCut) {
  LayoutQuestion question = Llama3();
  question.shape = ShapeOf(1e9, 32000);
  question.accelerators = 64;
  question.batch_sequences = 256;
  const LayoutChoice choice = ChooseLayout(question, Llama3Cluster()).value();
  EXPECT_EQ(choice.layout.tensor, 1);
  EXPECT_EQ(choice.layout.pipeline, 1);
  EXPECT_EQ(choice.layout.data, 64);
  EXPECT_EQ(choice.nodes, 8);
}

TEST(PlanLayoutTest, ABatchBoundsTheReplicas) {
  LayoutQuestion question = Llama3();
  question.shape = ShapeOf(1e9, 32000);
  question.batch_sequences = 4;
  const LayoutChoice choice = ChooseLayout(question, Llama3Cluster()).value();
  EXPECT_LE(choice.batch_sequences, 4);
  EXPECT_LE(choice.layout.data, 4);
}

TEST(PlanLayoutTest, LessMemoryIsMetByCuttingMore) {
  LayoutQuestion question = Llama3();
  question.shape = ShapeOf(70e9, 32000);
  question.accelerators = 512;
  question.batch_sequences = 512;
  Cluster cluster = Llama3Cluster();
  const LayoutChoice roomy = ChooseLayout(question, cluster).value();
  cluster.memory_bytes = 24e9;
  const LayoutChoice narrow = ChooseLayout(question, cluster).value();
  EXPECT_LE(narrow.memory.total(), cluster.usable_bytes());
  EXPECT_LE(narrow.mfu, roomy.mfu);
}

TEST(PlanLayoutTest, AGivenLayoutIsTakenOrRefused) {
  LayoutQuestion question = Llama3();
  question.given = Llama3Layout(128);
  const LayoutChoice choice = ChooseLayout(question, Llama3Cluster()).value();
  EXPECT_EQ(choice.layout.pipeline, 16);
  EXPECT_EQ(choice.layout.microbatches, 16);
  EXPECT_NEAR(choice.mfu, 0.41, 0.01);
  const auto message = [&](Layout layout) {
    question.given = layout;
    return std::string(ChooseLayout(question, Llama3Cluster()).status().message());
  };
  Layout layout = Llama3Layout(128);
  layout.data = 129;
  EXPECT_THAT(message(layout), HasSubstr("16384 may be used"));
  layout = Llama3Layout(128);
  layout.tensor = 16;
  layout.data = 8;
  EXPECT_THAT(message(layout), HasSubstr("beyond a node of 8"));
  layout = Llama3Layout(8);
  layout.pipeline = 127;
  layout.chunks = 0;
  EXPECT_THAT(message(layout), HasSubstr("126 layers"));
  EXPECT_THAT(message(Layout{}), HasSubstr("does not fit"));
}

TEST(PlanLayoutTest, WhatCannotFitIsSaid) {
  LayoutQuestion question = Llama3();
  question.accelerators = 8;
  const absl::Status status = ChooseLayout(question, Llama3Cluster()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no layout fits: the leanest"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("usable"));
}

}  // namespace
}  // namespace longrun::scaling
