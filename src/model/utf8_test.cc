#include "model/utf8.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace longrun::model {
namespace {

TEST(Utf8, EveryCodePointGoesThereAndBack) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(c, &text);
    const CodePoint first = FirstCodePoint(text);
    ASSERT_EQ(first.value, c);
    ASSERT_EQ(first.bytes, static_cast<int>(text.size()));
    if (text.size() > 1) {
      ASSERT_EQ(FirstCodePoint(std::string_view(text).substr(0, text.size() - 1)).bytes, 0) << c;
    }
  }
}

TEST(Utf8, WhatUnicodeForbidsIsInvalid) {
  for (const char* text : {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF",
                           "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                           "\xF5\x80\x80\x80", "\xFF", "\xC3(", "\xE2\x82(", "\xF0\x9F\x98("}) {
    EXPECT_EQ(FirstCodePoint(text).bytes, 0) << text;
    EXPECT_FALSE(IsValidUtf8(text));
  }
  EXPECT_TRUE(IsValidUtf8(""));
  EXPECT_TRUE(IsValidUtf8("aé€😀"));
}

TEST(Utf8Stream, ValidTextComesOutWholeHoweverItIsCut) {
  const std::string text = "aé€😀, Привет 世界 \xF4\x8F\xBF\xBF";
  Random random(1);
  for (int i = 0; i < 200; ++i) {
    Utf8Stream stream;
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t n = random.Below(4);
      const std::string piece = stream.Push(std::string_view(text).substr(at, n));
      EXPECT_TRUE(IsValidUtf8(piece));
      out += piece;
      at += n;
    }
    EXPECT_EQ(stream.Finish(), "");
    EXPECT_EQ(out, text);
  }
}

TEST(Utf8Stream, WhatCanBecomeNoCodePointIsReplacedAtOnce) {
  Utf8Stream stream;
  EXPECT_EQ(stream.Push("\xE2"), "");
  EXPECT_EQ(stream.Push("\x82"), "");
  EXPECT_EQ(stream.Push("x"), "\uFFFD\uFFFDx");
  EXPECT_EQ(stream.Push("\xED\xA0"), "\uFFFD\uFFFD");
  EXPECT_EQ(stream.Push("\xF0\x9F"), "");
  EXPECT_EQ(stream.Finish(), "\uFFFD\uFFFD");
  EXPECT_EQ(stream.Finish(), "");
}

TEST(Utf8Stream, RandomBytesAlwaysGiveValidText) {
  Random random(2);
  Utf8Stream stream;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes;
    for (uint64_t n = random.Below(5); n > 0; --n) {
      bytes.push_back(static_cast<char>(random.Below(2) ? random.Next() : 0x80 | random.Below(64)));
    }
    ASSERT_TRUE(IsValidUtf8(stream.Push(bytes)));
  }
}

}  // namespace
}  // namespace longrun::model
