#include "model/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "model/text_samples.h"
#include "model/utf8.h"

namespace longrun::model {
namespace {

using ::testing::ElementsAre;

std::vector<std::string_view> Split(std::string_view text) {
  std::vector<std::string_view> words;
  for (WordSplitter splitter(text); !splitter.Done();) words.push_back(splitter.Next());
  return words;
}

void ExpectSame(std::string_view text) {
  const auto by_hand = Split(text);
  const auto by_regex = SplitByRegex(text);
  ASSERT_EQ(by_hand.size(), by_regex.size());
  for (size_t i = 0; i < by_hand.size(); ++i) {
    ASSERT_EQ(by_hand[i], by_regex[i]) << "word " << i << " of " << by_hand.size();
    ASSERT_EQ(by_hand[i].data(), by_regex[i].data());
  }
}

// What GPT-2's own encoder gives for these.
TEST(Split, AsGpt2Does) {
  for (const auto& split : {Split, SplitByRegex}) {
    EXPECT_THAT(split("Hello world, it's 2024!"),
                ElementsAre("Hello", " world", ",", " it", "'s", " 2024", "!"));
    EXPECT_THAT(split("  two  spaces "), ElementsAre(" ", " two", " ", " spaces", " "));
    EXPECT_THAT(split("a\n\nb\n c\n"), ElementsAre("a", "\n", "\n", "b", "\n", " c", "\n"));
    EXPECT_THAT(split("a \n"), ElementsAre("a", " \n"));
    EXPECT_THAT(split("we'll''s DON'T 's"),
                ElementsAre("we", "'ll", "''", "s", " DON", "'", "T", " '", "s"));
    EXPECT_THAT(split("x\u00A0y\u3000 z"), ElementsAre("x", "\u00A0", "y", "\u3000", " z"));
    EXPECT_THAT(split("e\u0301"), ElementsAre("e", "\u0301"));
    EXPECT_THAT(split(""), ElementsAre());
  }
}

// U+180E is white space to PCRE2's \s, but not to GPT-2's regular expression library.
TEST(Split, MongolianVowelSeparatorIsASymbol) {
  EXPECT_THAT(SplitByRegex(" \u180E!"), ElementsAre(" \u180E!"));
  EXPECT_THAT(Split(" \u180E!"), ElementsAre(" \u180E!"));
}

TEST(Split, BytesThatAreNotUtf8AreSymbols) {
  EXPECT_THAT(Split("a\xFF\xFE!b \xE2\x82"), ElementsAre("a", "\xFF\xFE!", "b", " \xE2\x82"));
  EXPECT_THAT(SplitByRegex("a\xFF\xFE!b \xE2\x82"),
              ElementsAre("a", "\xFF\xFE!", "b", " \xE2\x82"));
}

TEST(Split, TheSameByHandAsByRegexInManyScripts) {
  ExpectSame(MixedScripts(1, 2 << 20));
  ExpectSame(Fortunes());
}

TEST(Split, TheSameByHandAsByRegexAtEveryKindOfBorder) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    ExpectSame(RandomBytes(seed, 1000, false));
    ExpectSame(RandomBytes(seed, 1000, true));
  }
}

TEST(Split, TheSameByHandAsByRegexForEveryCodePoint) {
  std::string text;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    AppendUtf8(c, &text);
    text += c % 3 == 0 ? "  " : c % 3 == 1 ? " a" : "1 ";
  }
  ExpectSame(text);
}

}  // namespace
}  // namespace longrun::model
