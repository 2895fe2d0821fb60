#include "serving/execute/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "serving/execute/rotation.h"

namespace longrun::serving {
namespace {

using testing::HasSubstr;

constexpr char kLlama[] = R"({"model_type": "llama", "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 64, "intermediate_size": 96,
  "max_position_embeddings": 512, "vocab_size": 100, "rms_norm_eps": 1e-6)";
constexpr char kGpt2[] = R"({"model_type": "gpt2", "n_layer": 2, "n_head": 4, "n_embd": 64,
  "n_positions": 128, "vocab_size": 100)";

std::string Error(const std::string& text) {
  return std::string(ParseModelConfig(text, "c.json").status().message());
}

TEST(ModelConfig, DefaultsAreThoseOfTheFamilies) {
  const auto llama = ParseModelConfig(std::string(kLlama) + "}", "c.json");
  ASSERT_TRUE(llama.ok()) << llama.status();
  EXPECT_EQ(llama->head_dim, 16);
  EXPECT_EQ(llama->kv_heads, 2);
  EXPECT_FALSE(llama->tied_head);
  EXPECT_FALSE(llama->attention_bias);
  ASSERT_EQ(llama->rotation.frequencies.size(), 8u);
  EXPECT_FLOAT_EQ(llama->rotation.frequencies[1], static_cast<float>(std::pow(1e4, -2.0 / 16)));
  const auto gpt2 = ParseModelConfig(std::string(kGpt2) + R"(, "n_inner": null})", "c.json");
  ASSERT_TRUE(gpt2.ok()) << gpt2.status();
  EXPECT_EQ(gpt2->d_ff, 256);
  EXPECT_TRUE(gpt2->tied_head);
  EXPECT_TRUE(gpt2->attention_bias);
  EXPECT_TRUE(gpt2->rotation.frequencies.empty());
}

TEST(ModelConfig, NewerFilesKeepTheRotationInOneObject) {
  const auto config =
      ParseModelConfig(std::string(kLlama) + R"(, "rope_parameters": {"rope_type": "default",
      "rope_theta": 500000.0}})",
                       "c.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FLOAT_EQ(config->rotation.frequencies[4], static_cast<float>(std::pow(5e5, -0.5)));
}

TEST(ModelConfig, WhatIsNotComputedIsRefusedByName) {
  const std::string llama = kLlama, gpt2 = kGpt2;
  EXPECT_THAT(Error("{}"), HasSubstr("c.json: model_type: '' is not supported"));
  EXPECT_THAT(Error("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(Error(R"({"model_type": "mamba"})"), HasSubstr("'mamba' is not supported"));
  EXPECT_THAT(Error(llama + R"(, "hidden_act": "gelu"})"), HasSubstr("hidden_act"));
  EXPECT_THAT(Error(llama + R"(, "rope_scaling": {"type": "longrope", "factor": 2.0}})"),
              HasSubstr("'longrope' is not supported; default, dynamic, linear, llama3 and yarn"));
  EXPECT_THAT(Error(llama + R"(, "rope_scaling": {"type": "dynamic"}})"),
              HasSubstr("rope_scaling.factor"));
  EXPECT_THAT(Error(llama + R"(, "rope_scaling": {"rope_type": "linear"}})"),
              HasSubstr("rope_scaling.factor"));
  EXPECT_THAT(Error(llama + R"(, "rope_scaling": {"rope_type": "linear", "factor": -1}})"),
              HasSubstr("above 0"));
  EXPECT_THAT(Error(llama + R"(, "head_dim": 15})"), HasSubstr("15 is odd"));
  EXPECT_THAT(Error(llama + R"(, "partial_rotary_factor": 0.5})"), HasSubstr("partial_rotary"));
  EXPECT_THAT(Error(gpt2 + R"(, "activation_function": "relu"})"),
              HasSubstr("activation_function"));
  EXPECT_THAT(Error(gpt2 + R"(, "scale_attn_by_inverse_layer_idx": true})"),
              HasSubstr("scale_attn_by_inverse_layer_idx: only false"));
}

TEST(ModelConfig, WrongSizesAreRefusedByName) {
  const auto llama = [](const std::string& field, const std::string& value) {
    nlohmann::json json = nlohmann::json::parse(std::string(kLlama) + "}");
    json[field] = nlohmann::json::parse(value);
    return Error(json.dump());
  };
  EXPECT_THAT(llama("num_hidden_layers", "0"), HasSubstr("num_hidden_layers: 0 is out of range"));
  EXPECT_THAT(llama("vocab_size", "1.5"), HasSubstr("vocab_size: must be there"));
  EXPECT_THAT(llama("vocab_size", "99999999999"), HasSubstr("vocab_size"));
  EXPECT_THAT(llama("num_key_value_heads", "3"), HasSubstr("3 does not divide the 4 heads"));
  EXPECT_THAT(llama("hidden_size", "\"64\""), HasSubstr("hidden_size"));
  EXPECT_THAT(llama("rms_norm_eps", "-1"), HasSubstr("epsilon"));
  EXPECT_THAT(llama("rope_theta", "0"), HasSubstr("rope_theta"));
  EXPECT_THAT(llama("tie_word_embeddings", "1"), HasSubstr("true or false"));
}

// model_type in place of kLlama's, and more fields.
ModelConfig Relative(const std::string& type, const std::string& fields) {
  std::string text = std::string(kLlama) + fields + "}";
  text.replace(text.find("llama"), 5, type);
  const auto config = ParseModelConfig(text, "c.json");
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : ModelConfig{};
}

TEST(ModelConfig, RelativesOfLlamaDifferInBiasesAndWindow) {
  const ModelConfig mistral = Relative("mistral", R"(, "sliding_window": 128)");
  EXPECT_TRUE(mistral.llama());
  EXPECT_EQ(mistral.context, 128);  // beyond, attention would see a window alone
  EXPECT_FALSE(mistral.attention_bias);
  EXPECT_EQ(Relative("mistral", R"(, "sliding_window": null)").context, 512);
  EXPECT_EQ(Relative("mistral", R"(, "sliding_window": 4096)").context, 512);
  const ModelConfig qwen2 =
      Relative("qwen2", R"(, "sliding_window": 128, "use_sliding_window": false)");
  EXPECT_TRUE(qwen2.attention_bias);
  EXPECT_FALSE(qwen2.output_bias);
  EXPECT_EQ(qwen2.context, 512);
  EXPECT_EQ(Relative("qwen2", R"(, "sliding_window": 128, "use_sliding_window": true)").context,
            128);
}

Rotation Make(const char* scaling) {
  const auto rotation = MakeRotation(10000, 64, 8192, nlohmann::json::parse(scaling));
  EXPECT_TRUE(rotation.ok()) << rotation.status();
  return rotation.ok() ? *rotation : Rotation{};
}

TEST(Rotation, DynamicIsPlainWithinTheContext) {
  EXPECT_EQ(Make(R"({"type": "dynamic", "factor": 4.0})").frequencies, Make("null").frequencies);
}

TEST(Rotation, LinearSlowsEveryPair) {
  const Rotation plain = Make("null"), slow = Make(R"({"type": "linear", "factor": 4.0})");
  for (size_t i = 0; i < 32; ++i) {
    EXPECT_FLOAT_EQ(slow.frequencies[i], plain.frequencies[i] / 4);
  }
}

// The formula's own cases: waves shorter than context / high are kept, those longer than
// context / low slowed by the factor, and between them the blend.
TEST(Rotation, Llama3StretchesLongWavesAlone) {
  const Rotation plain = Make("null");
  const Rotation r = Make(R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 1024})");
  int kept = 0, slowed = 0, blended = 0;
  for (size_t i = 0; i < 32; ++i) {
    const double wave = 2 * M_PI / plain.frequencies[i];
    if (wave < 1024 / 4.0) {
      ++kept;
      EXPECT_FLOAT_EQ(r.frequencies[i], plain.frequencies[i]);
    } else if (wave > 1024) {
      ++slowed;
      EXPECT_FLOAT_EQ(r.frequencies[i], plain.frequencies[i] / 8);
    } else {
      ++blended;
      const double smooth = (1024 / wave - 1) / 3;
      EXPECT_NEAR(r.frequencies[i], plain.frequencies[i] * (smooth + (1 - smooth) / 8), 1e-7);
    }
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(slowed, 0);
  EXPECT_GT(blended, 0);
}

TEST(Rotation, YarnKeepsFastPairsAndSlowsSlowOnes) {
  const Rotation plain = Make("null");
  const Rotation r = Make(R"({"rope_type": "yarn", "factor": 4.0,
    "original_max_position_embeddings": 2048})");
  EXPECT_FLOAT_EQ(r.frequencies[0], plain.frequencies[0]);
  EXPECT_FLOAT_EQ(r.frequencies[31], plain.frequencies[31] / 4);
  EXPECT_FLOAT_EQ(r.magnitude, static_cast<float>(0.1 * std::log(4.0) + 1));
  for (size_t i = 0; i < 32; ++i) {
    EXPECT_LE(r.frequencies[i], plain.frequencies[i] * 1.000001f);
    EXPECT_GE(r.frequencies[i], plain.frequencies[i] / 4 * 0.999999f);
  }
}

}  // namespace
}  // namespace longrun::serving
