#include "base/codec.h"

#include <gtest/gtest.h>

#include <limits>

namespace longrun {
namespace {

enum class Colour { kRed, kGreen };

struct Inner {
  int64_t n = 0;
  std::string text;
  template <class A>
  void Visit(A& a) {
    a("n", n);
    a("text", text);
  }
  bool operator==(const Inner&) const = default;
};

struct Outer {
  bool flag = false;
  Colour colour = Colour::kRed;
  int32_t small = 0;
  uint64_t large = 0;
  double real = 0;
  std::vector<Inner> inners;
  std::map<std::string, int> numbers;
  std::set<int> set;
  std::optional<Inner> maybe;
  std::variant<Inner, std::string> either;
  template <class A>
  void Visit(A& a) {
    a("flag", flag);
    a("colour", colour);
    a("small", small);
    a("large", large);
    a("real", real);
    a("inners", inners);
    a("numbers", numbers);
    a("set", set);
    a("maybe", maybe);
    a("either", either);
  }
  bool operator==(const Outer&) const = default;
};

Outer Sample() {
  Outer o;
  o.flag = true;
  o.colour = Colour::kGreen;
  o.small = std::numeric_limits<int32_t>::min();
  o.large = std::numeric_limits<uint64_t>::max();
  o.real = -0.1;
  o.inners = {{std::numeric_limits<int64_t>::min(), "a"},
              {std::numeric_limits<int64_t>::max(), std::string("\0b", 2)}};
  o.numbers = {{"x", 1}, {"y", -2}};
  o.set = {3, 1, 2};
  o.maybe = Inner{7, "m"};
  o.either = std::string("e");
  return o;
}

TEST(CodecTest, WhatIsWrittenIsRead) {
  Outer read;
  ASSERT_TRUE(DecodeBinary(EncodeBinary(Sample()), read));
  EXPECT_EQ(read, Sample());
  Outer empty = Sample();
  ASSERT_TRUE(DecodeBinary(EncodeBinary(Outer{}), empty));
  EXPECT_EQ(empty, Outer{});
}

TEST(CodecTest, AnyCutIsToldAndNothingOverruns) {
  const std::string bytes = EncodeBinary(Sample());
  for (size_t n = 0; n < bytes.size(); ++n) {
    Outer read;
    EXPECT_FALSE(DecodeBinary(std::string_view(bytes).substr(0, n), read)) << n;
  }
  Outer read;
  EXPECT_FALSE(DecodeBinary(bytes + "x", read));
}

TEST(CodecTest, AnyFlippedBitGivesNoneOrAWholeValue) {
  const std::string bytes = EncodeBinary(Sample());
  for (size_t i = 0; i < bytes.size() * 8; ++i) {
    std::string damaged = bytes;
    damaged[i / 8] ^= static_cast<char>(1 << (i % 8));
    Outer read;
    if (!DecodeBinary(damaged, read)) continue;
    const std::string written = EncodeBinary(read);
    Outer again;
    ASSERT_TRUE(DecodeBinary(written, again)) << i;
    EXPECT_EQ(EncodeBinary(again), written) << i;
  }
}

struct OldVersion {
  int64_t a = 1;
  template <class A>
  void Visit(A& v) {
    v("a", a);
  }
};
struct NewVersion {
  int64_t a = 1;
  std::string b = "default";
  template <class A>
  void Visit(A& v) {
    v("a", a);
    v("b", b);
  }
};

TEST(CodecTest, OldAndNewReadEachOther) {
  NewVersion read_new;
  ASSERT_TRUE(DecodeBinary(EncodeBinary(OldVersion{5}), read_new));
  EXPECT_EQ(read_new.a, 5);
  EXPECT_EQ(read_new.b, "default");
  OldVersion read_old;
  ASSERT_TRUE(DecodeBinary(EncodeBinary(NewVersion{6, "x"}), read_old));
  EXPECT_EQ(read_old.a, 6);
}

TEST(CodecTest, HashTellsStatesApart) {
  EXPECT_EQ(HashOf(Sample()), HashOf(Sample()));
  Outer other = Sample();
  other.maybe->n = 8;
  EXPECT_NE(HashOf(Sample()), HashOf(other));
  // The reference vectors of FNV-1a hold for the bytes: "" hashes to the offset basis.
  EXPECT_NE(HashOf(Outer{}), 0xcbf29ce484222325ull);
}

}  // namespace
}  // namespace longrun
