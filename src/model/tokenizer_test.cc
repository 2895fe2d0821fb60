#include "model/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "base/random.h"
#include "model/bpe_trainer.h"
#include "model/split_regex.h"
#include "model/text_samples.h"

namespace longrun::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The textbook way, with nothing in common with the encoder but the regular expression: the words
// of the expression, and in each again and again the learned merge of lowest rank, at its leftmost
// place.
class ReferenceEncoder {
 public:
  explicit ReferenceEncoder(const Tokenizer& tokenizer) {
    for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
      if (!tokenizer.IsSpecial(id)) ids_[std::string(tokenizer.TokenBytes(id))] = id;
    }
    for (size_t i = 0; i < tokenizer.merges().size(); ++i) {
      const auto& merge = tokenizer.merges()[i];
      ranks_[{std::string(tokenizer.TokenBytes(merge.left)),
              std::string(tokenizer.TokenBytes(merge.right))}] = i;
    }
  }

  std::vector<TokenId> Encode(std::string_view text) {
    std::vector<TokenId> ids;
    for (const std::string_view word : SplitByRegex(text)) {
      auto [it, is_new] = words_.try_emplace(std::string(word));
      if (is_new) it->second = EncodeWord(word);
      ids.insert(ids.end(), it->second.begin(), it->second.end());
    }
    return ids;
  }

 private:
  std::vector<TokenId> EncodeWord(std::string_view word) const {
    std::vector<std::string> parts;
    for (const char c : word) parts.emplace_back(1, c);
    while (true) {
      size_t best = ranks_.size();
      size_t where = 0;
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto it = ranks_.find({parts[i], parts[i + 1]});
        if (it != ranks_.end() && it->second < best) {
          best = it->second;
          where = i;
        }
      }
      if (best == ranks_.size()) break;
      parts[where] += parts[where + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(where) + 1);
    }
    std::vector<TokenId> ids;
    for (const std::string& part : parts) ids.push_back(ids_.at(part));
    return ids;
  }

  std::map<std::string, TokenId> ids_;
  std::map<std::pair<std::string, std::string>, size_t> ranks_;
  std::map<std::string, std::vector<TokenId>> words_;
};

const Tokenizer& Trained() {
  static const Tokenizer tokenizer = *TrainBpe(MixedScripts(1, 1 << 18) + Fortunes(), 3000);
  return tokenizer;
}

void ExpectAsReference(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<TokenId> ids = tokenizer.Encode(text);
  EXPECT_TRUE(ids == ReferenceEncoder(tokenizer).Encode(text));
  EXPECT_TRUE(*tokenizer.Decode(ids) == text);
}

TEST(Tokenizer, TheSameTokensAsTheReferenceInManyScripts) {
  ExpectAsReference(Trained(), MixedScripts(2, 2 << 20));
  ExpectAsReference(Trained(), Fortunes());
}

TEST(Tokenizer, TheSameTokensAsTheReferenceForAnyBytes) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    ExpectAsReference(Trained(), RandomBytes(seed, 5000, true));
    ExpectAsReference(Trained(), RandomBytes(seed, 5000, false));
  }
}

// Words longer than the short way takes, of few letters so that merges overlap in every manner.
TEST(Tokenizer, TheSameTokensAsTheReferenceForLongWords) {
  Random random(3);
  std::string training;
  for (int i = 0; i < 20000; ++i) {
    for (uint64_t n = 1 + random.Below(9); n > 0; --n) training.push_back("ab"[random.Below(2)]);
    training.push_back(' ');
  }
  const Tokenizer tokenizer = *TrainBpe(training, 500);
  std::string text;
  for (size_t length = 1; length < 300; ++length) {
    for (size_t i = 0; i < length; ++i) text.push_back("ab"[random.Below(2)]);
    text += ' ' + std::string(length, 'a') + ' ';
  }
  ExpectAsReference(tokenizer, text);
}

TEST(Tokenizer, AWordOfAMillionLettersIsEncoded) {
  const std::string word(1 << 20, 'e');
  EXPECT_TRUE(*Trained().Decode(Trained().Encode(word)) == word);
  const std::string spaces(1 << 20, ' ');
  EXPECT_TRUE(*Trained().Decode(Trained().Encode(spaces)) == spaces);
}

TEST(Tokenizer, EveryShortStringOfBytesComesBack) {
  TokenEncoder encoder(Trained());
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const std::string text = {static_cast<char>(a), static_cast<char>(b)};
      std::vector<TokenId> ids;
      encoder.Encode(text, &ids);
      ASSERT_EQ(*Trained().Decode(ids), text);
    }
  }
}

TEST(Tokenizer, AnEncoderThatRemembersGivesTheSame) {
  const std::string text = MixedScripts(4, 1 << 16);
  TokenEncoder encoder(Trained());
  std::vector<TokenId> first;
  encoder.Encode(text, &first);
  std::vector<TokenId> second;
  encoder.Encode(text, &second);
  EXPECT_EQ(first, second);
  EXPECT_EQ(first, Trained().Encode(text));
}

TEST(Tokenizer, ManyThreadsShareOne) {
  const std::string text = MixedScripts(5, 1 << 16);
  const std::vector<TokenId> right = Trained().Encode(text);
  std::vector<std::vector<TokenId>> ids(4);
  std::vector<std::thread> threads;
  for (auto& out : ids) threads.emplace_back([&] { out = Trained().Encode(text); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& out : ids) EXPECT_EQ(out, right);
}

TEST(Tokenizer, BytesAreATokenEach) {
  const Tokenizer bytes = Tokenizer::Bytes();
  EXPECT_EQ(bytes.vocab_size(), 257);
  EXPECT_EQ(bytes.end_of_text(), 256);
  // GPT-2's ids: "!" 0, "H" 39, "i" 72, " " 220.
  EXPECT_THAT(bytes.Encode("Hi !"), ElementsAre(39, 72, 220, 0));
  EXPECT_EQ(Tokenizer::Bytes({}).vocab_size(), 256);
}

TEST(Tokenizer, SpecialTokensComeFromTextOnlyWhenAsked) {
  const Tokenizer t = Tokenizer::Bytes({"<|a|>", "<|a|><|b|>", "<|endoftext|>"});
  EXPECT_EQ(t.Encode("<|a|>").size(), 5u);
  EXPECT_THAT(t.EncodeWithSpecials("!<|a|>!<|endoftext|><|a|><|b|><|a|><|"),
              ElementsAre(0, 256, 0, 258, 257, 256, t.ByteToken('<'), t.ByteToken('|')));
  EXPECT_THAT(t.EncodeWithSpecials(""), ElementsAre());
  EXPECT_EQ(*t.Decode(std::vector<TokenId>{256, 0}), "<|a|>!");
  EXPECT_EQ(t.Special("<|a|>"), 256);
  EXPECT_EQ(t.Special("!"), std::nullopt);
  EXPECT_TRUE(t.IsSpecial(257));
  EXPECT_FALSE(t.IsSpecial(255));
}

TEST(Tokenizer, AnIdOutOfRangeIsRefused) {
  EXPECT_FALSE(Trained().Decode(std::vector<TokenId>{3000}).ok());
  EXPECT_FALSE(Trained().Decode(std::vector<TokenId>{-1}).ok());
}

TEST(Tokenizer, TheHashTellsTokenizersApart) {
  EXPECT_EQ(Tokenizer::Bytes().hash(), Tokenizer::Bytes().hash());
  EXPECT_NE(Tokenizer::Bytes().hash(), Tokenizer::Bytes({}).hash());
  EXPECT_NE(Tokenizer::Bytes().hash(), Trained().hash());
}

TEST(Tokenizer, WhatIsNoByteLevelVocabularyIsRefused) {
  std::vector<std::string> bytes;
  for (int b = 0; b < 256; ++b) bytes.emplace_back(1, static_cast<char>(b));
  const auto error = [](const absl::StatusOr<Tokenizer>& made) {
    EXPECT_FALSE(made.ok());
    return std::string(made.status().message());
  };
  auto few = bytes;
  few.pop_back();
  EXPECT_THAT(error(Tokenizer::Make(few, {}, {})), HasSubstr("0xff"));
  auto twice = bytes;
  twice.push_back("a");
  EXPECT_THAT(error(Tokenizer::Make(twice, {}, {})), HasSubstr("more than once"));
  auto more = bytes;
  more.push_back("ab");
  EXPECT_TRUE(Tokenizer::Make(more, {{'a', 'b', 256}}, {}).ok());
  EXPECT_THAT(error(Tokenizer::Make(more, {{'b', 'a', 256}}, {})), HasSubstr("do not make"));
  EXPECT_THAT(error(Tokenizer::Make(more, {{'a', 'b', 257}}, {})), HasSubstr("no ordinary token"));
  EXPECT_THAT(error(Tokenizer::Make(more, {{'a', 'b', 256}, {'a', 'b', 256}}, {})),
              HasSubstr("merge twice"));
  EXPECT_THAT(error(Tokenizer::Make(more, {}, {300})), HasSubstr("not in the vocabulary"));
}

}  // namespace
}  // namespace longrun::model
