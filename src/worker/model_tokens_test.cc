#include "worker/model_tokens.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/tokenizer_config.h"

namespace longrun::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// 256 bytes, then <|endoftext|> (256), <s> (257), </s> (258).
class ModelTokensTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "model_tokens_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  absl::StatusOr<ModelTokens> Read() { return Read(tokenizer_); }
  absl::StatusOr<ModelTokens> Read(const model::Tokenizer& tokenizer) {
    LR_ASSIGN_OR_RETURN(const auto config, model::ReadTokenizerConfig(folder_));
    return ReadModelTokens(folder_, config, tokenizer);
  }

  const model::Tokenizer tokenizer_ = model::Tokenizer::Bytes({"<|endoftext|>", "<s>", "</s>"});
  std::string folder_;
};

TEST_F(ModelTokensTest, WithoutFilesOnlyTheEndOfTextEnds) {
  const auto tokens = Read();
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_THAT(tokens->stop, ElementsAre(256));
  EXPECT_THAT(tokens->begin, IsEmpty());
}

TEST_F(ModelTokensTest, TheGenerationConfigGoesBeforeTheModels) {
  Write("config.json", R"({"eos_token_id": 258})");
  EXPECT_THAT(Read()->stop, ElementsAre(258, 256));
  Write("generation_config.json", R"({"eos_token_id": [257, 258, 257]})");
  EXPECT_THAT(Read()->stop, ElementsAre(257, 258, 256));
}

TEST_F(ModelTokensTest, BeginsWhereTheConfigSaysSo) {
  Write("tokenizer_config.json", R"({"add_bos_token": true, "bos_token": "<s>"})");
  EXPECT_THAT(Read()->begin, ElementsAre(257));
  Write("tokenizer_config.json", R"({"bos_token": {"content": "<s>"}})");
  EXPECT_THAT(Read()->begin, IsEmpty());
  Write("tokenizer_config.json", R"({"add_bos_token": true})");
  EXPECT_THAT(Read()->begin, IsEmpty());
  Write("config.json", R"({"bos_token_id": 258})");
  EXPECT_THAT(Read()->begin, ElementsAre(258));
}

// What tokenizer.json's post-processor puts there, unless the config says otherwise.
TEST_F(ModelTokensTest, BeginsAsTheTokenizerDoes) {
  std::vector<std::string> texts;
  for (model::TokenId id = 0; id < tokenizer_.vocab_size(); ++id) {
    texts.emplace_back(tokenizer_.TokenBytes(id));
  }
  const auto prefixed = model::Tokenizer::Make(texts, {}, tokenizer_.specials(),
                                               model::TextRules{.prefix = {258, 257}});
  ASSERT_TRUE(prefixed.ok()) << prefixed.status();
  const auto begin = [&] { return Read(*prefixed)->begin; };
  EXPECT_THAT(begin(), ElementsAre(258, 257));
  Write("tokenizer_config.json", R"({"bos_token": "<s>"})");
  EXPECT_THAT(begin(), ElementsAre(258, 257));
  Write("tokenizer_config.json", R"({"add_bos_token": true, "bos_token": "<s>"})");
  EXPECT_THAT(begin(), ElementsAre(257));
  Write("tokenizer_config.json", R"({"add_bos_token": false, "bos_token": "<s>"})");
  EXPECT_THAT(begin(), IsEmpty());
}

TEST_F(ModelTokensTest, RefusesWhatIsNoToken) {
  Write("config.json", R"({"eos_token_id": 999})");
  EXPECT_THAT(std::string(Read().status().message()), HasSubstr("config.json: eos_token_id: 999"));
  Write("config.json", R"({"eos_token_id": "x"})");
  EXPECT_FALSE(Read().ok());
  Write("config.json", "[]");
  EXPECT_FALSE(Read().ok());
}

}  // namespace
}  // namespace longrun::worker
