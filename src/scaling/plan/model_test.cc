#include "scaling/plan/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

// Shapes as published: Llama 3 (Dubey et al. 2024, table 3), GPT-3 (Brown et al. 2020, table 2.1).
ModelShape Llama3_405B() { return {126, 16384, 128, 8, 128, 53248, true, 128256, false}; }
ModelShape Llama3_8B() { return {32, 4096, 32, 8, 128, 14336, true, 128256, false}; }
ModelShape Gpt3() { return {96, 12288, 96, 96, 128, 49152, false, 50257, true}; }

TEST(PlanModelTest, PublishedShapesHaveTheirPublishedSizes) {
  EXPECT_NEAR(Llama3_405B().Params(), 405.8e9, 0.1e9);
  EXPECT_NEAR(Llama3_8B().Params(), 8.03e9, 0.01e9);
  EXPECT_NEAR(Gpt3().Params(), 174.6e9, 0.1e9);
}

TEST(PlanModelTest, DerivedShapesMeetTheirSize) {
  for (const double params : {1e7, 1.24e8, 1e9, 7e9, 7e10, 4.05e11, 1e12, 1e13}) {
    const ModelShape shape = ShapeOf(params, 32000);
    EXPECT_NEAR(shape.Params() / params, 1, params < 1e9 ? 0.35 : 0.06) << params;
    EXPECT_EQ(shape.heads * shape.head_size, shape.width);
    EXPECT_EQ(shape.heads % shape.kv_heads, 0);
  }
}

TEST(PlanModelTest, ALargeDerivedShapeIsLikeLlamas) {
  const ModelShape shape = ShapeOf(405e9, 128256);
  EXPECT_NEAR(static_cast<double>(shape.layers), 126, 6);
  EXPECT_EQ(shape.width, 16384);
  EXPECT_EQ(shape.heads, 128);
  EXPECT_EQ(shape.kv_heads, 8);
}

TEST(PlanModelTest, FlopPerTokenByHand) {
  // 6 · 405e9 + 12 · 126 · 128 · 128 · 8,192 / 2: attention is 4.2 % on top at 8K.
  const double flop = TrainingFlopPerToken(Llama3_405B(), 405e9, 8192);
  EXPECT_DOUBLE_EQ(flop, 2430e9 + 6.0 * 126 * 16384 * 8192);
  EXPECT_NEAR(flop / 2430e9 - 1, 0.0418, 1e-4);
  EXPECT_DOUBLE_EQ(InferenceFlopPerToken(Gpt3(), 175e9, 2048), 350e9 + 2.0 * 96 * 2048 * 12288);
}

// Published: 800 KB a token for OPT-13B (Kwon et al. 2023, section 2), 40 layers of 5,120.
TEST(PlanModelTest, KeysAndValuesByHand) {
  const ModelShape opt_13b{40, 5120, 40, 40, 128, 20480, false, 50272, true};
  EXPECT_DOUBLE_EQ(KvBytesPerToken(opt_13b, 2), 800 * 1024);
  EXPECT_DOUBLE_EQ(KvBytesPerToken(Llama3_405B(), 2), 504 * 1024);
}

constexpr char kShape[] = R"(layers: 126
width: 16384
heads: 128
kv_heads: 8
feed_forward: 53248
gated: true
vocabulary: 128256
)";

TEST(PlanModelTest, AShapeIsRead) {
  const ModelShape shape = ParseModelShape(kShape, "llama.yaml").value();
  EXPECT_EQ(shape.Params(), Llama3_405B().Params());
}

TEST(PlanModelTest, MistakesAreNamed) {
  const auto message = [](const std::string& text) {
    return std::string(ParseModelShape(text, "m.yaml").status().message());
  };
  EXPECT_THAT(message(std::string(kShape) + "layer: 3\n"), HasSubstr("m.yaml:8: layer"));
  EXPECT_THAT(message("layers: 2\n"), HasSubstr("width: is missing"));
  EXPECT_THAT(message("layers: -2\n"), HasSubstr("m.yaml:1: layers"));
  EXPECT_THAT(message("layers: 2\nwidth: 100\nheads: 3\nfeed_forward: 4\nvocabulary: 5\n"),
              HasSubstr("no multiple of the 3"));
  EXPECT_THAT(message("layers: 2\nwidth: 96\nheads: 3\nkv_heads: 2\nfeed_forward: 4\n"
                      "vocabulary: 5\n"),
              HasSubstr("does not divide"));
  EXPECT_NE(message(""), "");
}

}  // namespace
}  // namespace longrun::scaling
