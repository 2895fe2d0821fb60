#include "agent/text.h"

#include <string>

#include "gtest/gtest.h"

namespace longrun::agent {
namespace {

TEST(CleanText, LeavesPlainAndForeignTextAlone) {
  EXPECT_EQ(CleanText("saved to /tmp/x: 3 %", 100), "saved to /tmp/x: 3 %");
  EXPECT_EQ(CleanText("größer 模型 🙂", 100), "größer 模型 🙂");
}

TEST(CleanText, ReplacesWhatTerminalsActOnAndWhatIsNoUtf8) {
  EXPECT_EQ(CleanText("a\x1b[31mb", 100), "a?[31mb");
  EXPECT_EQ(CleanText("a\tb\nc\rd", 100), "a b?c?d");
  EXPECT_EQ(CleanText("a\nb", 100, true), "a\nb");
  EXPECT_EQ(CleanText("\xff\xfe"
                      "a\xc3",
                      100),
            "??a?");
  EXPECT_EQ(CleanText("\xc0\xaf", 100), "??") << "an overlong form";
  EXPECT_EQ(CleanText("\xed\xa0\x80", 100), "???") << "a surrogate";
  EXPECT_EQ(CleanText("\xf4\x90\x80\x80", 100), "????") << "beyond Unicode";
  EXPECT_EQ(CleanText(std::string_view("a\0b", 3), 100), "a?b");
}

TEST(CleanText, CutsAtTheEndOfACharacter) {
  EXPECT_EQ(CleanText("ääää", 5), "ää");
  EXPECT_EQ(CleanText("ääää", 0), "");
}

TEST(LineTail, KeepsTheLastLines) {
  LineTail tail(3, 10);
  tail.Append("one\ntwo\nth");
  tail.Append("ree\nfour\n");
  EXPECT_EQ(tail.Text(), "two\nthree\nfour");
  tail.Append("five");
  EXPECT_EQ(tail.Text(), "three\nfour\nfive");
}

TEST(LineTail, ShortensLongLines) {
  LineTail tail(2, 4);
  tail.Append("abcdefgh");
  tail.Append("ijk\nshort\n");
  EXPECT_EQ(tail.Text(), "abcd\nshor");
}

}  // namespace
}  // namespace longrun::agent
