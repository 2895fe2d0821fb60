#include "model/tokenizer_files.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/escaping.h"
#include "base/file.h"
#include "model/bpe_trainer.h"
#include "model/byte_level.h"
#include "model/strict_json.h"
#include "model/text_samples.h"

namespace longrun::model {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TokenizerFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              fmt::format("longrun_tokenizer_{}_{}", ::getpid(),
                          ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  void Put(const std::string& name, std::string_view content) const {
    std::ofstream(Path(name), std::ios::binary) << content;
  }
  // What is wrong, said after the file's name.
  std::string ErrorOf(const std::string& name) const {
    const auto loaded = LoadTokenizer(Path(name));
    EXPECT_FALSE(loaded.ok());
    EXPECT_THAT(std::string(loaded.status().message()), HasSubstr(folder_.string()));
    return std::string(loaded.status().message());
  }

  fs::path folder_;
};

Tokenizer Trained() { return *TrainBpe(MixedScripts(1, 1 << 16), 900, {"<|endoftext|>", "<|ü|>"}); }

TEST_F(TokenizerFiles, WhatIsSavedIsLoaded) {
  const Tokenizer saved = Trained();
  ASSERT_TRUE(SaveTokenizer(saved, Path("t"), 256).ok());
  for (const char* name : {"t", "t/tokenizer.json", "t/vocab.json"}) {
    const auto loaded = LoadTokenizer(Path(name));
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(loaded->hash(), saved.hash()) << name;
    EXPECT_EQ(loaded->end_of_text(), saved.end_of_text());
  }
  EXPECT_TRUE(fs::exists(Path("t/tokenizer_config.json")));
  EXPECT_TRUE(fs::exists(Path("t/special_tokens_map.json")));
}

TEST_F(TokenizerFiles, BytesWithoutSpecialTokensAreSavedAndLoaded) {
  ASSERT_TRUE(SaveTokenizer(Tokenizer::Bytes({}), Path("t"), 256).ok());
  EXPECT_EQ(LoadTokenizer(Path("t"))->hash(), Tokenizer::Bytes({}).hash());
  const auto config = ParseStrictJson(*ReadFile(Path("t/tokenizer_config.json")), "config");
  ASSERT_TRUE(config.ok());
  EXPECT_TRUE((*config)["unk_token"].is_null());
  EXPECT_EQ((*config)["model_max_length"], 256);
}

// What transformers' GPT2TokenizerFast reads, field by field.
TEST_F(TokenizerFiles, TheJsonIsThatOfHuggingFace) {
  ASSERT_TRUE(SaveTokenizer(*TrainBpe("ab ab ab ", 259), Path("t"), 64).ok());
  const auto json = ParseStrictJson(*ReadFile(Path("t/tokenizer.json")), "tokenizer.json");
  ASSERT_TRUE(json.ok());
  const auto& model = (*json)["model"];
  EXPECT_EQ(model["type"], "BPE");
  EXPECT_EQ(model["vocab"].size(), 259u);
  EXPECT_EQ(model["vocab"]["Ġ"], 220);
  EXPECT_EQ(model["vocab"]["<|endoftext|>"], 258);
  EXPECT_EQ(model["merges"][0], "a b");
  EXPECT_EQ(model["merges"][1], "Ġ ab");
  for (const char* part : {"pre_tokenizer", "decoder", "post_processor"}) {
    EXPECT_EQ((*json)[part]["type"], "ByteLevel");
    EXPECT_EQ((*json)[part]["add_prefix_space"], false);
  }
  EXPECT_EQ((*json)["pre_tokenizer"]["use_regex"], true);
  EXPECT_EQ((*json)["added_tokens"][0]["id"], 258);
  EXPECT_EQ((*json)["added_tokens"][0]["special"], true);
  const auto config = ParseStrictJson(*ReadFile(Path("t/tokenizer_config.json")), "config");
  EXPECT_EQ((*config)["tokenizer_class"], "GPT2Tokenizer");
  EXPECT_EQ((*config)["added_tokens_decoder"]["258"]["content"], "<|endoftext|>");
  const std::string merges = *ReadFile(Path("t/merges.txt"));
  EXPECT_EQ(merges.substr(0, merges.find("\nĠ")), "#version: 0.2\na b");
}

TEST(ByteLevel, IsGpt2sMap) {
  EXPECT_EQ(BytesToText("A \n\xAD\x7F"), "AĠĊŃġ");
  EXPECT_EQ(BytesInGpt2Order()[0], '!');
  EXPECT_EQ(BytesInGpt2Order()[188], 0);
  EXPECT_EQ(BytesInGpt2Order()[255], 0xAD);
  std::string all;
  for (int b = 0; b < 256; ++b) all.push_back(static_cast<char>(b));
  EXPECT_EQ(*TextToBytes(BytesToText(all)), all);
  EXPECT_FALSE(TextToBytes("a b").has_value());
  EXPECT_FALSE(TextToBytes("世").has_value());
  EXPECT_FALSE(TextToBytes("\xFF").has_value());
}

// A .tiktoken file of the trained tokens in the order of their ids: the merges come back from
// ranks.
TEST_F(TokenizerFiles, TiktokenGivesTheSameTokens) {
  const Tokenizer trained = *TrainBpe(MixedScripts(1, 1 << 16), 900);
  std::string ranks;
  for (TokenId id = 0; id + 1 < trained.vocab_size(); ++id) {
    const std::string_view bytes = trained.TokenBytes(id);
    ranks += fmt::format("{} {}\n", absl::Base64Escape({bytes.data(), bytes.size()}), id);
  }
  Put("t.tiktoken", ranks);
  const auto loaded = LoadTokenizer(Path("t.tiktoken"));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->merges(), trained.merges());
  EXPECT_EQ(loaded->hash(), trained.hash());
}

TEST_F(TokenizerFiles, TiktokenRanksThatAreNone) {
  std::string bytes;
  for (int b = 0; b < 256; ++b) {
    bytes += fmt::format("{} {}\n", absl::Base64Escape(std::string(1, static_cast<char>(b))), b);
  }
  Put("ok.tiktoken", bytes);
  EXPECT_EQ(LoadTokenizer(Path("ok.tiktoken"))->end_of_text(), 256);
  Put("a.tiktoken", bytes + "YWI= 257");  // "ab": the id 256 is left to <|endoftext|>
  EXPECT_EQ(LoadTokenizer(Path("a.tiktoken"))->end_of_text(), 256);
  Put("b.tiktoken", bytes + "YWI= 300\n");
  EXPECT_THAT(ErrorOf("b.tiktoken"), HasSubstr("are missing"));
  Put("c.tiktoken", bytes + "YWI= 255\n");
  EXPECT_THAT(ErrorOf("c.tiktoken"), HasSubstr("c.tiktoken:257: the rank 255 stands twice"));
  Put("d.tiktoken", bytes + "YWI=\n");
  EXPECT_THAT(ErrorOf("d.tiktoken"), HasSubstr(":257: a token in base64"));
  Put("e.tiktoken", bytes + "Y*I= 256\n");
  EXPECT_THAT(ErrorOf("e.tiktoken"), HasSubstr("not base64"));
  Put("f.tiktoken", bytes + "YWJj 256\n");  // "abc"
  EXPECT_THAT(ErrorOf("f.tiktoken"), HasSubstr("rank 256 cannot be made of two tokens"));
  Put("i.tiktoken", bytes + "LAo= 256\n");  // ",\n": two words as GPT-2 splits text
  EXPECT_THAT(ErrorOf("i.tiktoken"), HasSubstr("rank 256 is two words"));
  Put("j.tiktoken", bytes + "Yck= 256\n" + "IGE= 257\n" + "J3I= 258\n");  // "a\xC9", " a", "'r"
  EXPECT_TRUE(LoadTokenizer(Path("j.tiktoken")).ok()) << ErrorOf("j.tiktoken");
  Put("g.tiktoken", "YQ== 0\n");
  EXPECT_THAT(ErrorOf("g.tiktoken"), HasSubstr("no token for the byte"));
  Put("h.tiktoken", bytes + "YWI= 99999999999\n");
  EXPECT_THAT(ErrorOf("h.tiktoken"), HasSubstr(":257:"));
}

TEST_F(TokenizerFiles, MistakesInVocabAndMergesAreNamed) {
  ASSERT_TRUE(SaveTokenizer(*TrainBpe("ab ab ab ", 259), Path("t"), 64).ok());
  const std::string vocab = *ReadFile(Path("t/vocab.json"));
  fs::remove(Path("t/tokenizer.json"));
  const auto with = [&](const std::string& merges) {
    Put("t/merges.txt", merges);
    return ErrorOf("t");
  };
  EXPECT_THAT(with("#version: 0.2\na b\nĠ abc\n"),
              HasSubstr("merges.txt:3: \"abc\" is not in the vocabulary"));
  EXPECT_THAT(with("a b c\n"), HasSubstr("merges.txt:1: a merge is two tokens"));
  EXPECT_THAT(with("a b\na b\n"), HasSubstr("merge twice"));
  Put("t/merges.txt", "a b\r\nĠ ab");  // line ends of Windows, and none at the end
  EXPECT_TRUE(LoadTokenizer(Path("t")).ok());
  Put("t/vocab.json", R"({"a":0,"a":1})");
  EXPECT_THAT(ErrorOf("t"), HasSubstr("stands twice"));
  Put("t/vocab.json", R"({"a":0,"b":0})");
  EXPECT_THAT(ErrorOf("t"), HasSubstr("same id 0"));
  Put("t/vocab.json", R"({"a":"0"})");
  EXPECT_THAT(ErrorOf("t"), HasSubstr("a whole number"));
  Put("t/vocab.json", R"({"a":99999999999999})");
  EXPECT_THAT(ErrorOf("t"), HasSubstr("no id for a token"));
  Put("t/vocab.json", vocab.substr(0, 1000));
  EXPECT_THAT(ErrorOf("t"), HasSubstr("not the JSON it should be"));
  fs::remove(Path("t/merges.txt"));
  Put("t/vocab.json", vocab);
  EXPECT_THAT(ErrorOf("t"), HasSubstr("merges.txt"));
}

TEST_F(TokenizerFiles, AnotherKindOfTokenizerIsRefusedRatherThanReadWrongly) {
  ASSERT_TRUE(SaveTokenizer(Trained(), Path("t"), 64).ok());
  const auto json = *ParseStrictJson(*ReadFile(Path("t/tokenizer.json")), "t");
  const auto error = [&](const char* pointer, const nlohmann::json& value) {
    auto changed = json;
    changed[nlohmann::json::json_pointer(pointer)] = value;
    Put("t/tokenizer.json", changed.dump());
    return ErrorOf("t");
  };
  EXPECT_THAT(error("/model/type", "Unigram"), HasSubstr("\"BPE\""));
  EXPECT_THAT(error("/model/continuing_subword_prefix", "##"),
              HasSubstr("model.continuing_subword_prefix: \"##\""));
  EXPECT_THAT(error("/model/byte_fallback", true), HasSubstr("with byte_fallback"));
  EXPECT_THAT(error("/normalizer", {{"type", "NFC"}}), HasSubstr("normalizer"));
  EXPECT_THAT(error("/pre_tokenizer/use_regex", false), HasSubstr("pre_tokenizer"));
  EXPECT_THAT(error("/pre_tokenizer",
                    {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Whitespace"}}}}}),
              HasSubstr("pre_tokenizer"));
  EXPECT_THAT(error("/added_tokens/0/lstrip", true), HasSubstr("lstrip"));
  EXPECT_THAT(error("/pre_tokenizer/add_prefix_space", "yes"), HasSubstr("t/tokenizer.json"));
  EXPECT_THAT(error("/pre_tokenizer", nullptr), HasSubstr("pre_tokenizer"));
  EXPECT_THAT(error("/post_processor/type", "TemplateProcessing"), HasSubstr("post_processor"));
  EXPECT_THAT(error("/added_tokens/0/id", -1), HasSubstr("added_tokens"));
  EXPECT_THAT(error("/added_tokens/0/id", 3), HasSubstr("same id"));
  EXPECT_THAT(error("/model/merges/5", 7), HasSubstr("model.merges[5]"));
  EXPECT_THAT(error("/model/vocab/x世", Trained().vocab_size()), HasSubstr("no byte-level token"));
  EXPECT_THAT(error("/model/vocab/zzz", 5000), HasSubstr("without gap"));
  Put("t/tokenizer.json", std::string(100000, '['));
  EXPECT_THAT(ErrorOf("t"), HasSubstr("nested over"));
  Put("t/tokenizer.json", "[]");
  EXPECT_THAT(ErrorOf("t"), HasSubstr("an object"));
}

TEST_F(TokenizerFiles, MergesAsPairsAreReadToo) {
  const Tokenizer trained = Trained();
  ASSERT_TRUE(SaveTokenizer(trained, Path("t"), 64).ok());
  auto json = *ParseStrictJson(*ReadFile(Path("t/tokenizer.json")), "t");
  for (auto& merge : json["model"]["merges"]) {
    const auto text = merge.get<std::string>();
    merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
  }
  Put("t/tokenizer.json", json.dump());
  EXPECT_EQ(LoadTokenizer(Path("t"))->hash(), trained.hash());
}

TEST_F(TokenizerFiles, WhatIsNotThereIsNamed) {
  EXPECT_THAT(ErrorOf("none"), HasSubstr("no such file"));
  fs::create_directories(Path("empty"));
  EXPECT_THAT(ErrorOf("empty"), HasSubstr("holds neither"));
  Put("empty/tokenizer.model", "");
  EXPECT_THAT(ErrorOf("empty"), HasSubstr("save_pretrained"));
}

TEST_F(TokenizerFiles, AFolderMayHaveATiktokenFileAlone) {
  std::string ranks;
  for (int b = 0; b < 256; ++b) {
    ranks += fmt::format("{} {}\n", absl::Base64Escape(std::string(1, static_cast<char>(b))), b);
  }
  fs::create_directories(Path("f"));
  Put("f/gpt2.tiktoken", ranks);
  const auto loaded = LoadTokenizer(Path("f"));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->vocab_size(), 257);
  Put("f/other.tiktoken", ranks);
  EXPECT_THAT(ErrorOf("f"), HasSubstr("several .tiktoken files: gpt2.tiktoken, other.tiktoken"));
}

}  // namespace
}  // namespace longrun::model
