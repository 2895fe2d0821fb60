#include "model/bpe_trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "model/split_regex.h"
#include "model/text_samples.h"

namespace longrun::model {
namespace {

using ::testing::HasSubstr;

// Counts every pair anew for every merge.
std::vector<Tokenizer::Merge> ReferenceMerges(const std::string& text, int wanted) {
  const Tokenizer bytes = Tokenizer::Bytes({});
  std::vector<std::vector<TokenId>> words;
  for (const std::string_view word : SplitByRegex(text)) {
    auto& ids = words.emplace_back();
    for (const char c : word) ids.push_back(bytes.ByteToken(static_cast<uint8_t>(c)));
  }
  std::vector<Tokenizer::Merge> merges;
  while (static_cast<int>(merges.size()) < wanted) {
    std::map<std::pair<TokenId, TokenId>, int> counts;
    for (const auto& ids : words) {
      for (size_t i = 0; i + 1 < ids.size(); ++i) ++counts[{ids[i], ids[i + 1]}];
    }
    auto best = counts.begin();
    for (auto it = counts.begin(); it != counts.end(); ++it) {
      if (it->second > best->second) best = it;
    }
    if (counts.empty() || best->second < 2) break;
    const auto [left, right] = best->first;
    const auto merged = static_cast<TokenId>(256 + merges.size());
    merges.push_back({left, right, merged});
    for (auto& ids : words) {
      std::vector<TokenId> kept;
      for (size_t i = 0; i < ids.size(); ++i) {
        const bool here = i + 1 < ids.size() && ids[i] == left && ids[i + 1] == right;
        kept.push_back(here ? merged : ids[i]);
        if (here) ++i;
      }
      ids = kept;
    }
  }
  return merges;
}

TEST(BpeTrainer, LearnsTheMergesThatCountingAnewWould) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const std::string text = MixedScripts(seed, 20000);
    const auto tokenizer = TrainBpe(text, 256 + 300, {});
    ASSERT_TRUE(tokenizer.ok());
    EXPECT_EQ(tokenizer->merges(), ReferenceMerges(text, 300));
  }
}

TEST(BpeTrainer, PairsThatOverlapThemselvesAreCountedRight) {
  std::string text;
  for (int i = 1; i < 40; ++i)
    text += std::string(static_cast<size_t>(i * 7 % 23), 'a') + ' ' +
            std::string(static_cast<size_t>(i % 5), 'b') + "a ";
  EXPECT_EQ(TrainBpe(text, 256 + 60, {})->merges(), ReferenceMerges(text, 60));
}

TEST(BpeTrainer, StopsWhereNoPairOccursTwice) {
  const auto tokenizer = TrainBpe("abc abc", 1000);
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(tokenizer->merges(), ReferenceMerges("abc abc", 1000));
  EXPECT_LT(tokenizer->vocab_size(), 270);
  EXPECT_EQ(TrainBpe("", 1000)->vocab_size(), 257);
}

TEST(BpeTrainer, IdsAreBytesThenMergesThenSpecials) {
  const auto tokenizer = TrainBpe(MixedScripts(1, 10000), 300, {"<|endoftext|>", "<|x|>"});
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(tokenizer->vocab_size(), 300);
  EXPECT_EQ(tokenizer->merges().size(), 42u);
  EXPECT_EQ(tokenizer->TokenBytes(0), "!");
  EXPECT_EQ(tokenizer->end_of_text(), 298);
  EXPECT_EQ(tokenizer->Special("<|x|>"), 299);
}

TEST(BpeTrainer, TextInPiecesAndInAnyOrderGivesTheSame) {
  BpeTrainer forward;
  BpeTrainer backward;
  for (uint64_t i = 0; i < 10; ++i) forward.Add(MixedScripts(i, 2000));
  for (uint64_t i = 10; i > 0; --i) backward.Add(MixedScripts(i - 1, 2000));
  EXPECT_EQ(forward.Train(500)->hash(), backward.Train(500)->hash());
}

TEST(BpeTrainer, SpecialTokensAreBordersAndNotLearned) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "ab<|endoftext|>";
  const auto tokenizer = TrainBpe(text, 1000);
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(tokenizer->vocab_size(), 258) << "only \"ab\" is left to learn";
}

TEST(BpeTrainer, AVocabularyTooSmallForTheBytesIsRefused) {
  const auto tokenizer = TrainBpe("text", 256);
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr("257 or more is right"));
  EXPECT_TRUE(TrainBpe("text", 257).ok());
  EXPECT_FALSE(TrainBpe("text", 300, {"<|x|>", "<|x|>"}).ok());
}

}  // namespace
}  // namespace longrun::model
