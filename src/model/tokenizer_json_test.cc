#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "model/bpe_trainer.h"
#include "model/byte_level.h"
#include "model/split_regex.h"
#include "model/text_samples.h"
#include "model/tokenizer_files.h"
#include "model/utf8.h"

namespace longrun::model {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// As Llama 3's tokenizer.json has it.
constexpr char kLlama3[] = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
                           R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

class TokenizerJson : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = (std::filesystem::temp_directory_path() /
               fmt::format("longrun_tokenizer_json_{}", ::getpid()))
                  .string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // A trained byte-level tokenizer.json.
  json Trained(int64_t size) const {
    const Tokenizer trained =
        *TrainBpe(MixedScripts(1, 1 << 17), size, {"<|begin|>", "<|end|>", "<tool>"});
    EXPECT_TRUE(SaveTokenizer(trained, folder_, 64).ok());
    std::filesystem::remove(folder_ + "/tokenizer_config.json");
    return json::parse(*ReadFile(folder_ + "/tokenizer.json"));
  }
  absl::StatusOr<Tokenizer> Load(const json& file) const {
    std::filesystem::create_directories(folder_);
    EXPECT_TRUE(WriteFileAtomically(folder_ + "/tokenizer.json", file.dump()).ok());
    return LoadTokenizer(folder_);
  }

  std::string folder_;
};

json Sequence(std::vector<json> steps) {
  steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}
json Split(const std::string& regex) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

// The textbook way: of each word's symbols again and again the merge that stands first.
std::vector<TokenId> MergeByTexts(const json& model, std::vector<std::string> parts) {
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (size_t i = 0; i < model["merges"].size(); ++i) {
    const auto merge = model["merges"][i].get<std::string>();
    const size_t space = merge.find(' ');
    ranks[{merge.substr(0, space), merge.substr(space + 1)}] = i;
  }
  while (true) {
    size_t best = ranks.size(), where = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto it = ranks.find({parts[i], parts[i + 1]});
      if (it != ranks.end() && it->second < best) {
        best = it->second;
        where = i;
      }
    }
    if (best == ranks.size()) break;
    parts[where] += parts[where + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
  std::vector<TokenId> ids;
  for (const std::string& part : parts) ids.push_back(model["vocab"].at(part).get<TokenId>());
  return ids;
}

std::vector<std::string> Characters(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto n = static_cast<size_t>(FirstCodePoint(text).bytes);
    parts.emplace_back(text.substr(0, n));
    text.remove_prefix(n);
  }
  return parts;
}

TEST(WordRegexes, SplitsAsLlama3Does) {
  const auto regexes = *WordRegexes::Make({kLlama3});
  EXPECT_THAT(regexes->Split("Hello world, it'S 20245!\n\n x"),
              ElementsAre("Hello", " world", ",", " it", "'S", " ", "202", "45", "!\n\n", " x"));
  EXPECT_THAT(regexes->Split("  a\n  b"), ElementsAre(" ", " a", "\n", " ", " b"));
  EXPECT_THAT(regexes->Split(""), ElementsAre());
  EXPECT_THAT(regexes->Split("#include\tx\xFF"), ElementsAre("#include", "\tx", "\xFF"));
}

TEST(WordRegexes, WhatMatchesNothingIsKeptWhole) {
  EXPECT_THAT((*WordRegexes::Make({"b+"}))->Split("aabba"), ElementsAre("aa", "bb", "a"));
  EXPECT_THAT((*WordRegexes::Make({"b*"}))->Split("aabba"), ElementsAre("aa", "bb", "a"));
  EXPECT_THAT((*WordRegexes::Make({"[ab]+", "a"}))->Split("caab"), ElementsAre("c", "a", "a", "b"));
  EXPECT_THAT(std::string(WordRegexes::Make({"a", "(b"}).status().message()), HasSubstr("(b"));
}

TEST(WordRegexes, HostileExpressionsEnd) {
  const std::string text = std::string(5000, 'a') + "c";
  EXPECT_THAT((*WordRegexes::Make({"(a|aa)+$"}))->Split(text), ElementsAre(text));
  const std::string spaces(1 << 20, ' ');
  EXPECT_EQ((*WordRegexes::Make({kLlama3}))->Split(spaces + "x").size(), 2u);
}

TEST_F(TokenizerJson, Llama3sWaySplitsByItsExpression) {
  json file = Trained(2500);
  file["pre_tokenizer"] = Sequence({Split(kLlama3)});
  const Tokenizer tokenizer = *Load(file);
  const auto regexes = *WordRegexes::Make({kLlama3});
  for (const std::string& text : {MixedScripts(2, 1 << 18), Fortunes().substr(0, 1 << 18)}) {
    std::vector<TokenId> right;
    std::map<std::string, std::vector<TokenId>> known;
    for (const std::string_view word : regexes->Split(text)) {
      auto [it, is_new] = known.try_emplace(std::string(word));
      if (is_new) it->second = MergeByTexts(file["model"], Characters(BytesToText(word)));
      right.insert(right.end(), it->second.begin(), it->second.end());
    }
    EXPECT_TRUE(tokenizer.Encode(text) == right);
    EXPECT_TRUE(*tokenizer.Decode(right) == text);
  }
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::string any = RandomBytes(seed, 5000, seed % 2 == 0);
    EXPECT_TRUE(*tokenizer.Decode(tokenizer.Encode(any)) == any);
  }
  EXPECT_NE(tokenizer.hash(), Load(Trained(2500))->hash());
  EXPECT_FALSE(SaveTokenizer(tokenizer, folder_ + "/other", 64).ok());
}

TEST_F(TokenizerJson, StepsOfASequence) {
  json file = Trained(600);
  file["pre_tokenizer"] =
      Sequence({{{"type", "Digits"}, {"individual_digits", true}},
                {{"type", "Split"}, {"pattern", {{"String", "a.b"}}}, {"behavior", "Isolated"}}});
  const Tokenizer tokenizer = *Load(file);
  EXPECT_EQ(tokenizer.rules().words->Split("12xa.by"),
            (std::vector<std::string_view>{"1", "2", "x", "a.b", "y"}));
  file["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}};
  const Tokenizer blank = *Load(file);
  EXPECT_EQ(blank.Encode("the"), blank.Encode(" the"));
  EXPECT_EQ(*blank.Decode(blank.Encode("the")), "the");
  file["pre_tokenizer"] = Sequence({Split("(")});
  EXPECT_THAT(std::string(Load(file).status().message()), HasSubstr("expression \"(\""));
  json merged = Split("a");
  merged["behavior"] = "MergedWithNext";
  file["pre_tokenizer"] = Sequence({merged});
  EXPECT_THAT(std::string(Load(file).status().message()), HasSubstr("MergedWithNext"));
}

TEST_F(TokenizerJson, WordsThatAreTokensNeedNoMerges) {
  json file = Trained(600);
  const auto id = static_cast<TokenId>(file["model"]["vocab"].size());
  file["model"]["vocab"]["Ġzzz"] = id;
  EXPECT_GT(Load(file)->Encode("a zzz").size(), 2u);
  file["model"]["ignore_merges"] = true;
  EXPECT_EQ(Load(file)->Encode("a zzz").back(), id);
}

TEST_F(TokenizerJson, AddedTokensThatAreNotSpecialAlwaysComeFromText) {
  json file = Trained(600);
  for (json& token : file["added_tokens"]) token["special"] = token["content"] != "<tool>";
  const Tokenizer tokenizer = *Load(file);
  const auto ids = tokenizer.Encode("x<tool>y<|end|>");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), file["added_tokens"][2]["id"].get<TokenId>()), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *tokenizer.Special("<|end|>")), 0);
  EXPECT_EQ(*tokenizer.Decode(ids), "x<tool>y<|end|>");
  const auto all = tokenizer.EncodeWithSpecials("<tool><|end|>");
  EXPECT_EQ(all.size(), 2u);
}

TEST_F(TokenizerJson, ThePostProcessorSaysWhatStandsBeforeAText) {
  json file = Trained(600);
  const auto begin = file["added_tokens"][0]["id"].get<TokenId>();
  const json bos = {{"SpecialToken", {{"id", "<|begin|>"}, {"type_id", 0}}}};
  const json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  json post = {{"type", "TemplateProcessing"},
               {"single", {bos, text}},
               {"special_tokens",
                {{"<|begin|>", {{"id", "<|begin|>"}, {"ids", {begin}}, {"tokens", {"x"}}}}}}};
  file["post_processor"] = {{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, post}}};
  EXPECT_THAT(Load(file)->prefix(), ElementsAre(begin));
  post["single"] = {text, bos};
  file["post_processor"] = post;
  EXPECT_THAT(std::string(Load(file).status().message()), HasSubstr("after the text"));
  post["special_tokens"] = json::object();
  post["single"] = {bos, text};
  file["post_processor"] = post;
  EXPECT_FALSE(Load(file).ok());
}

TEST_F(TokenizerJson, TheConfigBesideNamesTheEndOfText) {
  const json file = Trained(600);
  EXPECT_EQ(Load(file)->end_of_text(), std::nullopt);
  const auto config = folder_ + "/tokenizer_config.json";
  ASSERT_TRUE(WriteFileAtomically(config, R"({"eos_token":"<|end|>"})").ok());
  EXPECT_EQ(Load(file)->end_of_text(), Load(file)->Special("<|end|>"));
  ASSERT_TRUE(WriteFileAtomically(config, R"({"eos_token":{"content":"<|begin|>"}})").ok());
  EXPECT_EQ(Load(file)->end_of_text(), Load(file)->Special("<|begin|>"));
  ASSERT_TRUE(WriteFileAtomically(config, R"({"eos_token":"no such token"})").ok());
  EXPECT_EQ(Load(file)->end_of_text(), std::nullopt);
}

// SentencePiece's: characters and bytes, merges between characters.
json SentencePiece() {
  json vocab = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  const auto add = [&](const std::string& text) {
    if (!vocab.contains(text)) vocab[text] = vocab.size();
  };
  for (int b = 0; b < 256; ++b) add(fmt::format("<0x{:02X}>", b));
  for (const std::string& c : Characters("▁abcdehnt.,é世0")) add(c);
  json merges = json::array();
  for (const char* merge : {"t h", "th e", "▁ the", "▁ t", "a b", "▁ a", "▁ ▁", "▁▁ ▁▁", "h e",
                            "n d", "a nd", "▁a nd", "e ▁", "世 é"}) {
    merges.push_back(merge);
    std::string both = merge;
    both.erase(both.find(' '), 1);
    add(both);
  }
  json added = json::array();
  for (int id = 0; id < 3; ++id) {
    added.push_back({{"id", id}, {"content", id == 0 ? "<unk>" : id == 1 ? "<s>" : "</s>"}});
  }
  const json prepend = {{"type", "Prepend"}, {"prepend", "▁"}};
  const json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  return {
      {"added_tokens", added},
      {"normalizer", {{"type", "Sequence"}, {"normalizers", {prepend, replace}}}},
      {"pre_tokenizer", nullptr},
      {"model", {{"type", "BPE"}, {"byte_fallback", true}, {"vocab", vocab}, {"merges", merges}}}};
}

TEST_F(TokenizerJson, SentencePiecesWay) {
  const json file = SentencePiece();
  const auto loaded = Load(file);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto reference = [&](std::string text) {
    std::string blocks = "▁";
    for (const char c : text) blocks += c == ' ' ? "▁" : std::string(1, c);
    std::vector<std::string> parts;
    for (const std::string& c : Characters(blocks)) {
      if (file["model"]["vocab"].contains(c)) {
        parts.push_back(c);
      } else {
        for (const char b : c) parts.push_back(fmt::format("<0x{:02X}>", static_cast<uint8_t>(b)));
      }
    }
    return MergeByTexts(file["model"], parts);
  };
  static const std::vector<std::string> pieces = {"the", " ", "a", "and", "  ", "é", "世",
                                                  "x",   "😀", ".", "he",  "\n", "0", "t"};
  Random random(5);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (uint64_t n = 1 + random.Below(30); n > 0; --n) {
      text += pieces[random.Below(pieces.size())];
    }
    ASSERT_EQ(loaded->Encode(text), reference(text)) << text;
    ASSERT_EQ(*loaded->Decode(loaded->Encode(text)), text);
  }
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::string any = RandomBytes(seed, 3000, true);
    EXPECT_TRUE(*loaded->Decode(loaded->Encode(any)) == any);
  }
  EXPECT_TRUE(loaded->Encode("").empty());
  EXPECT_EQ(loaded->Encode("▁a"), loaded->Encode(" a"));
  EXPECT_EQ(loaded->TokenBytes(file["model"]["vocab"]["▁the"].get<TokenId>()), " the");
}

TEST_F(TokenizerJson, SentencePiecesBlanks) {
  json file = SentencePiece();
  const auto blanks = [&](const char* scheme) {
    file["normalizer"] = nullptr;
    file["pre_tokenizer"] = {
        {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", false}};
    return *Load(file);
  };
  const Tokenizer first = blanks("first");
  EXPECT_EQ(first.Encode("a"), first.Encode(" a"));
  const auto the = file["model"]["vocab"]["the"].get<TokenId>();
  const auto blank_the = file["model"]["vocab"]["▁the"].get<TokenId>();
  EXPECT_THAT(first.EncodeWithSpecials("the<s>the"), ElementsAre(blank_the, 1, the));
  EXPECT_THAT(first.EncodeWithSpecials("<s>the"), ElementsAre(1, the));
  EXPECT_THAT(blanks("always").EncodeWithSpecials("<s>the"), ElementsAre(1, blank_the));
  EXPECT_THAT(blanks("never").Encode("the"), ElementsAre(the));
  file["pre_tokenizer"]["split"] = true;
  EXPECT_THAT(std::string(Load(file).status().message()), HasSubstr("byte_fallback"));
  file = SentencePiece();
  file["model"]["vocab"].erase("<0x00>");
  EXPECT_FALSE(Load(file).ok());
}

}  // namespace
}  // namespace longrun::model
