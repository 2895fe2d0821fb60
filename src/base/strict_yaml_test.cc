#include "base/strict_yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace longrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

std::string ErrorOf(std::string_view text) {
  const absl::StatusOr<YamlNode> node = ParseYaml(text, "t.yaml");
  return node.ok() ? "" : std::string(node.status().message());
}

YamlNode Parsed(std::string_view text) {
  absl::StatusOr<YamlNode> node = ParseYaml(text, "t.yaml");
  EXPECT_TRUE(node.ok()) << node.status();
  return node.ok() ? *std::move(node) : YamlNode{};
}

TEST(ParseYamlTest, KnowsKindsLinesAndQuotes) {
  const YamlNode root = Parsed("a: 1\nb:\n  - x\n  - 'y'\nc:\n  d: {e: ~}\nf:\n");
  ASSERT_EQ(root.kind, YamlNode::Kind::kMap);
  ASSERT_EQ(root.entries.size(), 4u);
  EXPECT_EQ(root.entries[0].second.text, "1");
  EXPECT_EQ(root.entries[0].second.line, 1);
  const YamlNode& b = root.entries[1].second;
  ASSERT_EQ(b.items.size(), 2u);
  EXPECT_EQ(b.line, 2);
  EXPECT_EQ(b.items[1].line, 4);
  EXPECT_FALSE(b.items[0].quoted);
  EXPECT_TRUE(b.items[1].quoted);
  const YamlNode& e = root.entries[2].second.entries[0].second.entries[0].second;
  EXPECT_EQ(e.kind, YamlNode::Kind::kNull);
  EXPECT_EQ(e.line, 6);
  EXPECT_EQ(root.entries[3].second.kind, YamlNode::Kind::kNull);
}

TEST(ParseYamlTest, EmptyTextsAreNull) {
  EXPECT_EQ(Parsed("").kind, YamlNode::Kind::kNull);
  EXPECT_EQ(Parsed("# nothing\n").kind, YamlNode::Kind::kNull);
  EXPECT_EQ(Parsed("---\n").kind, YamlNode::Kind::kNull);
  EXPECT_EQ(Parsed("...\n").kind, YamlNode::Kind::kNull);
  EXPECT_EQ(Parsed("---\na: 1\n...\n").entries.size(), 1u);
  EXPECT_EQ(Parsed("a: |\n  x\n").entries[0].second.text, "x\n");
}

TEST(ParseYamlTest, ToleratesAByteOrderMarkAndWindowsLines) {
  const YamlNode root = Parsed("\xEF\xBB\xBFkey: value\r\nother: 2\r\n");
  ASSERT_EQ(root.entries.size(), 2u);
  EXPECT_EQ(root.entries[0].first, "key");
  EXPECT_EQ(root.entries[0].second.text, "value");
  EXPECT_EQ(root.entries[1].second.line, 2);
}

TEST(ParseYamlTest, RefusesKeysThatStandTwice) {
  EXPECT_EQ(ErrorOf("a: 1\nb: 2\na: 3\n"),
            "t.yaml:3: \"a\" stands here a second time; keep one of the two");
  EXPECT_THAT(ErrorOf("m:\n  {x: 1, y: 2, x: 3}\n"), HasSubstr("\"x\" stands here a second time"));
  EXPECT_THAT(ErrorOf("a: 1\n\"a\": 1\n"), StartsWith("t.yaml:2:"));
}

TEST(ParseYamlTest, RefusesAnchorsBeforeTheyUnfold) {
  std::string bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 9; ++j) bomb += "*a" + std::to_string(i - 1) + (j < 8 ? "," : "]\n");
  }
  EXPECT_THAT(ErrorOf(bomb), StartsWith("t.yaml:1: anchors and aliases"));
  EXPECT_THAT(ErrorOf("x: 1\nb: &name text\n"), StartsWith("t.yaml:2: anchors"));
  EXPECT_THAT(ErrorOf("b: &m {a: 1}\nc:\n  <<: *m\n"), HasSubstr("anchors"));
  EXPECT_THAT(ErrorOf("b: *nowhere\n"), StartsWith("t.yaml:1:"));
}

TEST(ParseYamlTest, RefusesTagsAndFurtherDocuments) {
  EXPECT_THAT(ErrorOf("a: !!int 3\n"), HasSubstr("tags"));
  EXPECT_THAT(ErrorOf("a: !!python/object:os.system {}\n"), HasSubstr("tags"));
  EXPECT_THAT(ErrorOf("a: 1\n---\nb: 2\n"), HasSubstr("more than one document"));
}

TEST(ParseYamlTest, BoundsDepth) {
  const auto nested = [](int n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_EQ(ErrorOf(nested(32)), "");
  EXPECT_THAT(ErrorOf(nested(33)), HasSubstr("nested deeper than 32"));
  EXPECT_THAT(ErrorOf(nested(200'000)), HasSubstr("nested deeper than 32"));
  EXPECT_NE(ErrorOf(std::string(500'000, '[')), "");
  EXPECT_NE(ErrorOf(std::string(500'000, '{')), "");
  std::string maps;
  for (int i = 0; i < 100; ++i) maps += std::string(i, ' ') + "a:\n";
  EXPECT_THAT(ErrorOf(maps), HasSubstr("nested deeper than 32"));
}

TEST(ParseYamlTest, BoundsSizeBeforeItParses) {
  // 100 MB that would take minutes to parse.
  const std::string huge(100'000'000, '[');
  EXPECT_THAT(ErrorOf(huge), HasSubstr("100000000 bytes; configuration has at most 1048576"));
}

TEST(ParseYamlTest, RefusesWhatIsNoText) {
  EXPECT_THAT(ErrorOf(std::string_view("a: 1\nb: \0\n", 10)), StartsWith("t.yaml:2:"));
  EXPECT_THAT(ErrorOf("a: 1\n\nb: \xff\xfe\n"), StartsWith("t.yaml:3: this is not UTF-8"));
  EXPECT_THAT(ErrorOf("a: \xc0\xaf\n"), HasSubstr("not UTF-8"));          // overlong
  EXPECT_THAT(ErrorOf("a: \xed\xa0\x80\n"), HasSubstr("not UTF-8"));      // surrogate
  EXPECT_THAT(ErrorOf("a: \xf4\x90\x80\x80\n"), HasSubstr("not UTF-8"));  // past U+10FFFF
  EXPECT_THAT(ErrorOf("a: \xe2\x82"), HasSubstr("not UTF-8"));            // cut off
  EXPECT_THAT(ErrorOf("a: \x1b[31m\n"), HasSubstr("control character 27"));
  EXPECT_THAT(ErrorOf("a: \"x\\0y\"\n"), HasSubstr("NUL"));
  EXPECT_EQ(ErrorOf("a: \xf0\x9f\x9a\x80 \xe2\x82\xac \xc3\xa9\n"), "");
}

TEST(ParseYamlTest, NamesTheLineOfWhatIsNoYaml) {
  EXPECT_THAT(ErrorOf("a: 1\nb: [1, 2\nc: 3\n"), HasSubstr("not YAML"));
  EXPECT_THAT(ErrorOf("a: 1\n\tb: 2\n"), StartsWith("t.yaml:2"));
  EXPECT_THAT(ErrorOf("a:\n\t- b\n"), HasSubstr("a tab indents this line"));
  EXPECT_THAT(ErrorOf("a: \"open\n"), HasSubstr("not YAML"));
  EXPECT_THAT(ErrorOf("a: 'open\nb: 2\n"), HasSubstr("not YAML"));
  EXPECT_THAT(ErrorOf("? [a, b]\n: c\n"), HasSubstr("a key must be text"));
  EXPECT_THAT(ErrorOf(": x\n"), HasSubstr("key is missing"));
}

// Reads `text` as a map with `read` and returns all mistakes.
template <class F>
std::string Mistakes(std::string_view text, F read) {
  const YamlNode root = Parsed(text);
  YamlErrors errors("t.yaml");
  YamlMap map(root, "", &errors);
  read(map);
  map.Done();
  return std::string(errors.ToStatus().message());
}

TEST(YamlMapTest, ReadsEachType) {
  const std::string text =
      "int: -3\ndouble: 1.5e3\nwhole: 2\nbool: true\ntext: hello\nquoted: \"12\"\n"
      "choice: low\ntime: 2h30m\nbytes: 2Gi\ncpu: 500m\nlist: [a, \"1\"]\n"
      "texts: {a: 1, b: true, c: x}\nmap: {inner: 4}\nnothing:\n";
  EXPECT_EQ(Mistakes(text,
                     [](YamlMap& map) {
                       EXPECT_EQ(map.Int("int", 0, -5, 5), -3);
                       EXPECT_EQ(map.Double("double", 0, 0, 1e9), 1500.0);
                       EXPECT_EQ(map.Double("whole", 0, 0, 1e9), 2.0);
                       EXPECT_TRUE(map.Bool("bool", false));
                       EXPECT_EQ(map.String("text", ""), "hello");
                       EXPECT_EQ(map.Required("quoted"), "12");
                       EXPECT_EQ(map.Choice("choice", "high", {"low", "high"}), "low");
                       EXPECT_EQ(map.Time("time", {}), Duration::Minutes(150));
                       EXPECT_EQ(map.Bytes("bytes", 0), int64_t{2} << 30);
                       EXPECT_EQ(map.MilliCpu("cpu", 0), 500);
                       EXPECT_THAT(map.Strings("list"), ElementsAre("a", "1"));
                       EXPECT_THAT(map.StringMap("texts"),
                                   ElementsAre(Pair("a", "1"), Pair("b", "true"), Pair("c", "x")));
                       YamlMap inner = map.Map("map");
                       EXPECT_EQ(inner.Int("inner", 0, 0, 9), 4);
                       inner.Done();
                       EXPECT_FALSE(map.Has("nothing"));
                       EXPECT_EQ(map.Int("nothing", 7, 0, 9), 7);
                     }),
            "");
}

TEST(YamlMapTest, GivesDefaultsForWhatIsAbsent) {
  EXPECT_EQ(Mistakes("{}",
                     [](YamlMap& map) {
                       EXPECT_EQ(map.Int("a", 5, 0, 9), 5);
                       EXPECT_EQ(map.Double("b", 0.5, 0, 9), 0.5);
                       EXPECT_EQ(map.String("c", "x"), "x");
                       EXPECT_TRUE(map.Strings("d").empty());
                       EXPECT_EQ(map.Map("e").Map("f").Int("g", 3, 0, 9), 3);
                       EXPECT_EQ(map.Node("h"), nullptr);
                     }),
            "");
}

TEST(YamlMapTest, RefusesNumbersOutOfRange) {
  const auto read = [](YamlMap& map) { EXPECT_EQ(map.Int("n", 1, 0, 100), 1); };
  EXPECT_EQ(Mistakes("n: -1", read), "t.yaml:1: n: -1 is out of range; 0 to 100 is right");
  EXPECT_THAT(Mistakes("n: 101", read), HasSubstr("out of range"));
  EXPECT_THAT(Mistakes("n: 99999999999999999999999999", read), HasSubstr("out of range"));
  EXPECT_THAT(Mistakes("n: 1.5", read), HasSubstr("no whole number"));
  EXPECT_THAT(Mistakes("n: 1e2", read), HasSubstr("no whole number"));
  EXPECT_THAT(Mistakes("n: 0x10", read), HasSubstr("no whole number"));
  EXPECT_THAT(Mistakes("n: \"4\"", read), HasSubstr("no whole number"));
  EXPECT_THAT(Mistakes("n: four", read), HasSubstr("no whole number"));
  EXPECT_THAT(Mistakes("n: true", read), HasSubstr("no whole number"));
  EXPECT_THAT(Mistakes("n: [4]", read), HasSubstr("a list stands where a single value is right"));
  const auto real = [](YamlMap& map) { EXPECT_EQ(map.Double("n", 1, 0, 2), 1); };
  EXPECT_THAT(Mistakes("n: .nan", real), HasSubstr("no number"));
  EXPECT_THAT(Mistakes("n: .inf", real), HasSubstr("no number"));
  EXPECT_THAT(Mistakes("n: nan", real), HasSubstr("no number"));
  EXPECT_THAT(Mistakes("n: 1e999", real), HasSubstr("out of range"));
  EXPECT_THAT(Mistakes("n: 2.01", real), HasSubstr("out of range"));
}

TEST(YamlMapTest, TextMustNotReadAsAnythingElse) {
  const auto read = [](YamlMap& map) { map.String("s", ""); };
  EXPECT_EQ(Mistakes("s: 12", read),
            "t.yaml:1: s: 12 reads as a number where text is right; write \"12\"");
  EXPECT_THAT(Mistakes("s: 1.10", read), HasSubstr("number"));
  EXPECT_THAT(Mistakes("s: true", read), HasSubstr("truth value"));
  EXPECT_THAT(Mistakes("s: No", read), HasSubstr("truth value"));
  EXPECT_THAT(Mistakes("s: {a: 1}", read), HasSubstr("a map stands where"));
  EXPECT_EQ(Mistakes("s: 1.2.3", read), "");
  EXPECT_EQ(Mistakes("s: \"true\"", read), "");
}

TEST(YamlMapTest, SuggestsFieldsAndChoices) {
  const auto read = [](YamlMap& map) {
    map.Int("ranks", 1, 1, 9);
    map.Choice("priority", "normal", {"low", "normal", "high"});
  };
  EXPECT_EQ(Mistakes("rnaks: 2", read), "t.yaml:1: rnaks: unknown field; did you mean \"ranks\"?");
  EXPECT_EQ(Mistakes("gpus: 2", read),
            "t.yaml:1: gpus: unknown field; known here: priority, ranks");
  EXPECT_THAT(Mistakes("priority: hihg", read), HasSubstr("did you mean \"high\"?"));
  EXPECT_THAT(Mistakes("priority: 3", read), HasSubstr("none of low, normal, high"));
}

TEST(YamlMapTest, TellsEveryMistakeInTheFilesOrder) {
  const std::string text = "b: x\na: y\ninner:\n  c: -1\n  zz: 0\n";
  EXPECT_EQ(Mistakes(text,
                     [](YamlMap& map) {
                       map.Int("a", 0, 0, 9);
                       YamlMap inner = map.Map("inner");
                       inner.Int("c", 0, 0, 9);
                       inner.Required("d");
                       inner.Done();
                       map.Int("b", 0, 0, 9);
                     }),
            "t.yaml:1: b: x is no whole number; 0 to 9 is right\n"
            "t.yaml:2: a: y is no whole number; 0 to 9 is right\n"
            "t.yaml:3: inner.d: is missing\n"
            "t.yaml:4: inner.c: -1 is out of range; 0 to 9 is right\n"
            "t.yaml:5: inner.zz: unknown field; known here: c, d");
}

TEST(YamlMapTest, AMapThatIsNoneIsToldOnce) {
  EXPECT_EQ(Mistakes("inner: 5",
                     [](YamlMap& map) {
                       YamlMap inner = map.Map("inner");
                       inner.Required("a");
                       inner.Map("b").Required("c");
                     }),
            "t.yaml:1: inner: 5 stands where a map (key: value) is right");
}

TEST(YamlMapTest, ListsAndMapsOfTexts) {
  const auto list = [](YamlMap& map) { map.Strings("l"); };
  EXPECT_THAT(Mistakes("l: [a, 5]", list), HasSubstr("l[1]: 5 reads as a number"));
  EXPECT_THAT(Mistakes("l: [a, [b]]", list), HasSubstr("l[1]: a list stands"));
  EXPECT_THAT(Mistakes("l: a b", list), HasSubstr("a list of texts is right"));
  const auto map_of = [](YamlMap& map) { map.StringMap("m"); };
  EXPECT_THAT(Mistakes("m: {a: [1]}", map_of), HasSubstr("m.a: a list stands"));
  EXPECT_THAT(Mistakes("m: {a: }", map_of), HasSubstr("m.a: nothing stands"));
  EXPECT_THAT(Mistakes("m: x", map_of), HasSubstr("a map of texts is right"));
}

TEST(YamlMapTest, UnitsAreChecked) {
  const auto read = [](YamlMap& map) {
    map.Time("t", {});
    map.Bytes("b", 0);
    map.MilliCpu("c", 0);
  };
  EXPECT_THAT(Mistakes("t: 5", read), HasSubstr("t: 5 is no duration"));
  EXPECT_THAT(Mistakes("t: -5s", read), HasSubstr("no duration"));
  EXPECT_THAT(Mistakes("b: 2 apples", read), HasSubstr("no amount of bytes"));
  EXPECT_THAT(Mistakes("b: -2Gi", read), HasSubstr("no amount of bytes"));
  EXPECT_THAT(Mistakes("c: many", read), HasSubstr("no amount of CPU"));
}

TEST(YamlErrorsTest, ShowsTheFirstAndCountsTheRest) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "x" + std::to_string(i) + ": 1\n";
  const std::string mistakes = Mistakes(text, [](YamlMap&) {});
  EXPECT_THAT(mistakes, HasSubstr("t.yaml:20: x19"));
  EXPECT_THAT(mistakes, Not(HasSubstr("t.yaml:21:")));
  EXPECT_THAT(mistakes, HasSubstr("and 480 more mistakes"));
}

TEST(YamlErrorsTest, LongValuesAreCutAndStaySingleLines) {
  const auto read = [](YamlMap& map) { map.Int("n", 0, 0, 9); };
  const std::string mistakes = Mistakes("n: \"" + std::string(5000, 'x') + "\\n\\e[2J\"", read);
  EXPECT_LT(mistakes.size(), 200u);
  EXPECT_EQ(mistakes.find('\n'), std::string::npos);
  EXPECT_EQ(mistakes.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace longrun
