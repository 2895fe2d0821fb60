// What is wrong with a model's files is told by file and tensor.
#include "serving/execute/cpu_weights.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"
#include "serving/execute/cpu_executor.h"
#include "serving/execute/model_folder_for_tests.h"

namespace longrun::serving {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class CpuWeightsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fmt::format("{}/longrun_weights_test.{}", testing::TempDir(), getpid());
  }
  void TearDown() override {
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
  }
  absl::Status OpenAs(const ModelFolder& model, CpuWeightType type = CpuWeightType::kBF16) {
    model.Write(folder_);
    return OpenCpuExecutor(folder_, {.weights = type, .threads = 2}).status();
  }
  std::string Error(const ModelFolder& model, CpuWeightType type = CpuWeightType::kBF16) {
    return std::string(OpenAs(model, type).message());
  }

  std::string folder_;
};

constexpr char kUp[] = "model.layers.1.mlp.up_proj.weight";

TEST_F(CpuWeightsTest, MissingTensorsAreNamed) {
  ModelFolder model = RandomLlama({});
  model.tensors.erase(kUp);
  EXPECT_EQ(OpenAs(model).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Error(model), AllOf(HasSubstr(folder_), HasSubstr(kUp), HasSubstr("missing")));
  model = RandomGpt2(1, 2, 16, 32, 20);
  model.tensors.erase("transformer.h.0.ln_1.bias");
  EXPECT_THAT(Error(model), AllOf(HasSubstr("h.0.ln_1.bias"), HasSubstr("missing")));
}

TEST_F(CpuWeightsTest, WrongShapesAreNamed) {
  ModelFolder model = RandomLlama({});
  std::swap(model.tensors[kUp].shape[0], model.tensors[kUp].shape[1]);
  EXPECT_THAT(Error(model), AllOf(HasSubstr(kUp), HasSubstr("[48, 104]"), HasSubstr("[104, 48]")));
}

TEST_F(CpuWeightsTest, UnknownTensorsAreNamedAndMasksAreNot) {
  ModelFolder model = RandomGpt2(1, 2, 16, 32, 20);
  model.tensors["transformer.h.0.attn.bias"] = {{1}, {1}};
  model.tensors["transformer.h.0.attn.masked_bias"] = {{1}, {-1e4f}};
  EXPECT_TRUE(OpenAs(model).ok()) << OpenAs(model);
  model.tensors["transformer.h.7.ln_1.weight"] = {{1}, {1}};
  EXPECT_THAT(Error(model), AllOf(HasSubstr("h.7.ln_1.weight"), HasSubstr("not part")));
}

TEST_F(CpuWeightsTest, ValuesThatAreNotFiniteAreNamed) {
  for (const auto& name :
       {kUp, "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"}) {
    for (const float value :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      for (const CpuWeightType type :
           {CpuWeightType::kF32, CpuWeightType::kBF16, CpuWeightType::kInt8}) {
        ModelFolder model = RandomLlama({});
        model.tensors[name].values.back() = value;
        EXPECT_THAT(Error(model, type), AllOf(HasSubstr(name), HasSubstr("not finite")));
      }
    }
  }
}

TEST_F(CpuWeightsTest, BiasesThatConfigDeniesMustBeZero) {
  ModelFolder model = RandomGpt2(1, 2, 16, 32, 20, false);
  model.tensors["transformer.h.0.attn.c_attn.bias"] = {{48}, std::vector<float>(48, 0.0f)};
  EXPECT_TRUE(OpenAs(model).ok()) << OpenAs(model);
  model.tensors["transformer.h.0.attn.c_attn.bias"].values[3] = 0.5f;
  EXPECT_THAT(Error(model), AllOf(HasSubstr("c_attn.bias"), HasSubstr("not zero")));
}

TEST_F(CpuWeightsTest, ATiedHeadMayLieInTheFileIfItIsTheSame) {
  ModelFolder model = RandomLlama({.tied = true});
  model.tensors["lm_head.weight"] = model.tensors["model.embed_tokens.weight"];
  EXPECT_TRUE(OpenAs(model).ok()) << OpenAs(model);
  model.tensors["lm_head.weight"].values[0] += 1;
  EXPECT_THAT(Error(model), AllOf(HasSubstr("lm_head.weight"), HasSubstr("differs")));
}

TEST_F(CpuWeightsTest, DamagedFilesAndFoldersAreNamed) {
  RandomLlama({}).Write(folder_);
  const std::string file = folder_ + "/model.safetensors";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 100);
  const absl::Status truncated = OpenCpuExecutor(folder_, {}).status();
  EXPECT_EQ(truncated.code(), absl::StatusCode::kDataLoss) << truncated;
  EXPECT_THAT(std::string(truncated.message()), HasSubstr(file));
  std::filesystem::remove(file);
  EXPECT_THAT(std::string(OpenCpuExecutor(folder_, {}).status().message()),
              HasSubstr("model.safetensors"));
  std::filesystem::remove(folder_ + "/config.json");
  EXPECT_THAT(std::string(OpenCpuExecutor(folder_, {}).status().message()),
              HasSubstr("config.json"));
}

TEST_F(CpuWeightsTest, ShardsAreReadAsOneModel) {
  const ModelFolder model = RandomLlama({});
  model.Write(folder_);
  ModelFolder first = model, second = model;
  nlohmann::json map;
  for (const auto& [name, tensor] : model.tensors) {
    const bool early = name < "model.layers.1";
    (early ? second : first).tensors.erase(name);
    map[name] = early ? "one.safetensors" : "two.safetensors";
  }
  const std::string parts = folder_ + "/parts";
  for (const auto& [shard, name] : {std::pair(&first, "one"), std::pair(&second, "two")}) {
    shard->Write(parts);
    std::filesystem::rename(parts + "/model.safetensors",
                            fmt::format("{}/{}.safetensors", folder_, name));
  }
  std::filesystem::remove(folder_ + "/model.safetensors");
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/model.safetensors.index.json",
                                  nlohmann::json({{"weight_map", map}}).dump())
                  .ok());
  const auto executor = OpenCpuExecutor(folder_, {});
  ASSERT_TRUE(executor.ok()) << executor.status();
  ASSERT_TRUE((*executor)->AllocateCache(4, 16, KvType::kF32).ok());
  const std::vector<model::TokenId> tokens = {1, 2, 3};
  const std::vector<BlockId> blocks = {0};
  const auto output =
      (*executor)->Run({.slices = {{.tokens = tokens, .blocks = blocks, .logits = 3}}});
  ASSERT_TRUE(output.ok()) << output.status();
  const PlainResult plain = PlainForward(model, tokens);
  for (size_t i = 0; i < plain.logits.size(); ++i) {
    EXPECT_NEAR(output->logits[i], plain.logits[i], 1e-4);
  }
}

TEST(CpuOptions, AreChecked) {
  EXPECT_THAT(std::string(OpenCpuExecutor("/", {.threads = -1}).status().message()),
              HasSubstr("threads"));
  EXPECT_THAT(std::string(OpenCpuExecutor("/", {.instructions = "abacus"}).status().message()),
              AllOf(HasSubstr("abacus"), HasSubstr("plain")));
}

}  // namespace
}  // namespace longrun::serving
