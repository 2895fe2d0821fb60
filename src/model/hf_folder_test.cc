#include "model/hf_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/model_reference.h"
#include "model/safetensors.h"

namespace longrun::model {
namespace {

using testing::HasSubstr;

class HfFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "hf_folder_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  nlohmann::json Config() const {
    return nlohmann::json::parse(std::ifstream(folder_ + "/config.json"));
  }
  void SetConfig(const std::string& field, const nlohmann::json& value) const {
    nlohmann::json config = Config();
    config[field] = value;
    std::ofstream(folder_ + "/config.json") << config.dump();
  }
  // Writes the tensors of the folder again, as `change` makes them.
  template <class F>
  void Rewrite(const F& change) const {
    std::map<std::string, at::Tensor> tensors;
    {
      const auto file = SafetensorsFile::Open(folder_ + "/model.safetensors");
      for (const auto& [name, view] : file->tensors()) {
        at::Tensor t = at::empty(view.shape, at::kFloat);
        std::memcpy(t.data_ptr(), view.bytes.data(), view.bytes.size());
        tensors[name] = t;
      }
    }
    change(tensors);
    std::vector<TensorToWrite> out;
    for (auto& [name, t] : tensors) {
      const DType type = t.scalar_type() == at::kHalf   ? DType::kF16
                         : t.scalar_type() == at::kLong ? DType::kI64
                                                        : DType::kF32;
      out.push_back(
          {name, type, t.sizes().vec(), {static_cast<const std::byte*>(t.data_ptr()), t.nbytes()}});
    }
    ASSERT_TRUE(WriteSafetensors(folder_ + "/model.safetensors", out).ok());
  }
  std::string LoadError() const {
    return std::string(LoadHfFolder(folder_, at::kCPU).status().message());
  }
  void SaveOdd(bool bias = true) {
    Gpt gpt(OddConfig(bias), at::kCPU, 1);
    Scramble(&gpt);
    values_ = gpt.flat().values().clone();
    ASSERT_TRUE(SaveHfFolder(gpt, folder_, {.end_of_text = 36}).ok());
  }

  std::string folder_;
  at::Tensor values_;
};

// Scramble leaves the padding between slots alone, so whole buffers can be compared.
TEST_F(HfFolder, GivesBackWhatWasSaved) {
  for (const bool bias : {true, false}) {
    SaveOdd(bias);
    const auto gpt = LoadHfFolder(folder_, at::kCPU);
    ASSERT_TRUE(gpt.ok()) << gpt.status();
    EXPECT_EQ((*gpt)->config(), OddConfig(bias));
    EXPECT_TRUE((*gpt)->flat().values().equal(values_));
  }
}

TEST_F(HfFolder, SaysWhatTransformersNeeds) {
  SaveOdd();
  const nlohmann::json config = Config();
  EXPECT_EQ(config["model_type"], "gpt2");
  EXPECT_EQ(config["architectures"], nlohmann::json({"GPT2LMHeadModel"}));
  EXPECT_EQ(config["n_positions"], 70);
  EXPECT_EQ(config["activation_function"], "gelu_new");
  EXPECT_EQ(config["eos_token_id"], 36);
  const auto file = SafetensorsFile::Open(folder_ + "/model.safetensors");
  EXPECT_EQ(file->metadata().at("format"), "pt");
  const auto weight = file->Get("transformer.h.1.attn.c_attn.weight");
  ASSERT_TRUE(weight.ok());
  EXPECT_EQ(weight->shape, (std::vector<int64_t>{21, 63}));
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/generation_config.json"));
}

TEST_F(HfFolder, WithoutBiasesWritesZerosForOthers) {
  SaveOdd(false);
  const auto file = SafetensorsFile::Open(folder_ + "/model.safetensors");
  const auto bias = file->Get("transformer.h.0.mlp.c_fc.bias");
  ASSERT_TRUE(bias.ok());
  EXPECT_EQ(bias->shape, (std::vector<int64_t>{84}));
  Rewrite([](auto& tensors) { tensors["transformer.h.0.mlp.c_fc.bias"].fill_(1); });
  EXPECT_THAT(LoadError(), HasSubstr("'h.0.mlp.c_fc.bias' is not zero"));
}

TEST_F(HfFolder, LoadsFilesAsOthersWriteThem) {
  SaveOdd();
  Rewrite([](auto& tensors) {  // as openai-community/gpt2: no prefix, masks, half precision
    std::map<std::string, at::Tensor> others;
    for (const auto& [name, t] : tensors) {
      others[name.substr(std::string("transformer.").size())] = t.to(at::kHalf);
    }
    others["h.0.attn.bias"] = at::ones({1, 1, 70, 70});
    others["h.0.attn.masked_bias"] = at::full({1}, -1e4);
    others["lm_head.weight"] = others["wte.weight"].clone();
    tensors = others;
  });
  const auto gpt = LoadHfFolder(folder_, at::kCPU);
  ASSERT_TRUE(gpt.ok()) << gpt.status();
  EXPECT_TRUE((*gpt)->flat().values().equal(values_.to(at::kHalf).to(at::kFloat)));
}

TEST_F(HfFolder, NamesTheTensorThatIsWrong) {
  SaveOdd();
  Rewrite([](auto& t) { t["transformer.wpe.weight"] = at::zeros({70, 22}); });
  EXPECT_THAT(LoadError(),
              HasSubstr("'transformer.wpe.weight' has shape [70, 22], expected [70, 21]"));
  SaveOdd();
  Rewrite([](auto& t) {
    t["transformer.more"] = at::zeros({5000});
    t.erase("transformer.h.1.ln_2.bias");
  });
  EXPECT_THAT(LoadError(), HasSubstr("'h.1.ln_2.bias' [21] is missing"));
  SaveOdd();
  Rewrite([](auto& t) { t["transformer.h.2.ln_1.weight"] = at::zeros({21}); });
  EXPECT_THAT(LoadError(), HasSubstr("'transformer.h.2.ln_1.weight' is not part of a GPT-2"));
  SaveOdd();
  Rewrite([](auto& t) { t["lm_head.weight"] = at::zeros({37, 21}); });
  EXPECT_THAT(LoadError(), HasSubstr("only tied heads"));
  SaveOdd();
  Rewrite([](auto& t) { t["transformer.ln_f.bias"] = at::zeros({21}, at::kLong); });
  EXPECT_THAT(LoadError(), HasSubstr("'transformer.ln_f.bias' is of type I64"));
}

TEST_F(HfFolder, AFailedLoadLeavesTheModelAsItWas) {
  SaveOdd();
  Rewrite([](auto& t) { t["transformer.ln_f.bias"] = at::zeros({22}); });
  Gpt gpt(OddConfig(), at::kCPU, 2);
  const at::Tensor before = gpt.flat().values().clone();
  EXPECT_FALSE(LoadHfWeights(folder_, &gpt).ok());
  EXPECT_TRUE(gpt.flat().values().equal(before));
}

TEST_F(HfFolder, NamesTheFieldThatIsWrong) {
  const std::vector<std::pair<std::string, nlohmann::json>> wrong = {
      {"n_layer", "2"},
      {"n_embd", nullptr},
      {"activation_function", "relu"},
      {"model_type", "llama"},
      {"n_inner", 50},
      {"scale_attn_weights", false},
      {"layer_norm_epsilon", {}},
      {"tie_word_embeddings", false},
      {"bias", 1}};
  for (const auto& [field, value] : wrong) {
    SaveOdd();
    SetConfig(field, value.is_null() && field != "n_embd" ? nlohmann::json("x") : value);
    EXPECT_THAT(LoadError(), testing::AllOf(HasSubstr(folder_ + "/config.json"), HasSubstr(field)));
  }
}

TEST_F(HfFolder, AnAbsurdSizeFailsForThat) {
  SaveOdd();
  SetConfig("n_layer", 900);
  SetConfig("n_embd", 120000);
  EXPECT_THAT(LoadError(), HasSubstr("but the tensors hold"));
}

TEST_F(HfFolder, MissingFilesAreNamed) {
  EXPECT_THAT(LoadError(), HasSubstr("config.json"));
  SaveOdd();
  std::filesystem::remove(folder_ + "/model.safetensors");
  EXPECT_THAT(LoadError(), HasSubstr(folder_));
}

}  // namespace
}  // namespace longrun::model
