#include "scaling/runs/points_csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "scaling/runs/content_hash.h"

namespace longrun::scaling {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::StatusOr<PointsTable> Read(const std::string& text, const PointColumns& columns = {}) {
  std::istringstream in(text);
  return ReadPoints(in, "runs.csv", columns);
}

std::string ErrorOf(const std::string& text, const PointColumns& columns = {}) {
  return std::string(Read(text, columns).status().message());
}

TEST(PointsCsvTest, UsualNamesAreFoundAndTold) {
  const PointsTable table =
      Read("Model Size,Training FLOP,loss\n1e9,6e19,2.5\n2e9,6e20,2.25\n").value();
  ASSERT_EQ(table.points.size(), 2u);
  EXPECT_EQ(table.points[1].params, 2e9);
  EXPECT_EQ(table.points[1].tokens, 5e10);
  EXPECT_EQ(table.points[1].loss, 2.25);
  EXPECT_EQ(table.points[1].line, 3);
  EXPECT_THAT(table.read_as,
              ElementsAre("params from column \"Model Size\"",
                          "compute from column \"Training FLOP\"", "loss from column \"loss\""));
  EXPECT_THAT(table.warnings, IsEmpty());
}

TEST(PointsCsvTest, NamedColumnsHaveUnits) {
  PointColumns columns;
  columns.params = "size:M";
  columns.tokens = "a:b:1e9";
  columns.loss = "bpt:bits";
  const PointsTable table = Read("size,a:b,bpt,N\n70,1.4,3,5\n", columns).value();
  EXPECT_EQ(table.points[0].params, 70e6);
  EXPECT_EQ(table.points[0].tokens, 1.4e9);
  EXPECT_DOUBLE_EQ(table.points[0].loss, 3 * std::log(2));
  columns.params = "size:furlongs";
  EXPECT_THAT(ErrorOf("size,a:b,bpt\n70,1.4,3\n", columns), HasSubstr("\"furlongs\" is no unit"));
  columns.params = "sise";
  EXPECT_THAT(ErrorOf("size,a:b,bpt\n70,1.4,3\n", columns),
              HasSubstr("runs.csv:1: there is no column \"sise\"; there are: size, a:b, bpt; did "
                        "you mean \"size\"?"));
}

TEST(PointsCsvTest, BadCellsAreNamedByLineAndColumn) {
  const std::string header = "N,D,loss\n1e9,1e10,2\n";
  for (const auto& [row, what] : std::vector<std::pair<std::string, std::string>>{
           {"0,1e10,2", "runs.csv:3:1: N: 0 where a number above 0"},
           {"1e9,-4,2", "runs.csv:3:2: D: -4 where a number above 0"},
           {"1e9,1e10,nan", "runs.csv:3:3: loss: \"nan\" is not finite"},
           {"1e9,inf,2", "runs.csv:3:2: D: \"inf\" is not finite"},
           {"1e9,1e10,2.5x", "runs.csv:3:3: loss: \"2.5x\" is no number"},
           {"1e9,1e10,", "runs.csv:3:3: loss: empty"}}) {
    EXPECT_THAT(ErrorOf(header + row + "\n"), HasSubstr(what));
  }
}

TEST(PointsCsvTest, WhatIsNotClearIsAsked) {
  EXPECT_THAT(ErrorOf("N,params,D,loss\n"), HasSubstr("which column is the params? N, params"));
  EXPECT_THAT(ErrorOf("x,y,loss\n"), HasSubstr("there are: x, y, loss"));
  EXPECT_THAT(ErrorOf("N,D,y\n"), HasSubstr("say --loss COLUMN; there are: N, D, y"));
  EXPECT_THAT(ErrorOf("N,D,loss\n"), HasSubstr("a header and no row"));
}

TEST(PointsCsvTest, RowsAreChosenByWhatTheySay) {
  PointColumns columns;
  columns.where = {"set=a|b", "kind=x"};
  const std::string text =
      "N,D,loss,set,kind\n1e9,1e9,1,a,x\n1e9,1e9,2,b,x\n1e9,1e9,3,c,x\n"
      "1e9,1e9,4,a,y\n";
  const PointsTable table = Read(text, columns).value();
  EXPECT_EQ(table.points.size(), 2u);
  EXPECT_EQ(table.rows, 4);
  EXPECT_EQ(table.other_rows, 2);
  columns.where = {"set=q"};
  EXPECT_THAT(ErrorOf(text, columns), HasSubstr("none of the 4 rows"));
  columns.where = {"set"};
  EXPECT_THAT(ErrorOf(text, columns), HasSubstr("COLUMN=VALUE is right"));
}

TEST(PointsCsvTest, PointsOfOneRunAreTold) {
  const PointsTable table = Read("run,N,D,loss\na,1e9,1e9,3\nb,1e9,1e9,4\na,1e9,2e9,2\n").value();
  EXPECT_TRUE(table.has_runs);
  EXPECT_EQ(table.points[0].run, table.points[2].run);
  EXPECT_NE(table.points[0].run, table.points[1].run);
}

TEST(PointsCsvTest, SuspectUnitsAndDuplicatesAreWarnedOf) {
  EXPECT_THAT(Read("N,D,loss\n70,1e9,3\n400,1e10,2\n")->warnings,
              Contains(HasSubstr("params lie between 70 and 400: in millions")));
  EXPECT_THAT(Read("N,D,loss\n70,1e9,3\n4e8,1e10,2\n")->warnings,
              Contains(HasSubstr("several units in one column")));
  EXPECT_THAT(Read("N,D,C,loss\n7e7,1e9,4.2e8,3\n4e8,1e10,2.4e10,2\n")->warnings,
              Contains(HasSubstr("times 6·params·tokens")));
  EXPECT_THAT(Read("N,D,loss\n7e7,1e9,3\n4e8,1e10,2\n7e7,1e9,3\n")->warnings,
              Contains(HasSubstr("1 row stands twice (lines 2 and 4)")));
}

TEST(PointsCsvTest, RulesDropRowsAndSayWhy) {
  Points points = Read("N,D,loss\n1e9,1e8,9\n1e9,1e9,4\n1e9,1e10,5\n1e9,1e11,3\n")->points;
  DropRules rules;
  rules.highest = 1;
  rules.min_tokens_per_param = 0.5;
  rules.max_compute = 1e20;
  const std::vector<Dropped> dropped = Drop(rules, points).value();
  ASSERT_EQ(dropped.size(), 3u);
  EXPECT_EQ(dropped[0].point.line, 2);
  EXPECT_EQ(dropped[0].why, "under 0.5 tokens per parameter");
  EXPECT_EQ(dropped[1].point.line, 5);
  EXPECT_EQ(dropped[1].why, "above 1e+20 FLOP");
  EXPECT_EQ(dropped[2].point.line, 4);
  EXPECT_EQ(dropped[2].why, "the highest loss");
  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(points[0].line, 3);
  EXPECT_FALSE(Drop(rules, points).ok());
}

// A stream without end, of which the reader must hold no more than it keeps.
class Endless : public std::streambuf {
 protected:
  int_type underflow() override {
    block_ = given_++ == 0 ? "N,D,loss,note\n" : "";
    while (block_.size() < 60000) block_ += "1e9,2e10,2.5,no\n";
    setg(block_.data(), block_.data(), block_.data() + block_.size());
    return traits_type::to_int_type(block_[0]);
  }

 private:
  std::string block_;
  int given_ = 0;
};

TEST(PointsCsvTest, MorePointsThanCanBeHeldAreRefused) {
  Endless endless;
  std::istream in(&endless);
  EXPECT_THAT(std::string(ReadPoints(in, "runs.csv", {}).status().message()),
              HasSubstr("runs.csv:1000002: more than 1000000 points"));
}

TEST(ContentHashTest, IsThatOfTheBytesHoweverTheyAreRead) {
  std::istringstream source(std::string(200000, 'x') + "abc");
  HashingBuffer buffer(source.rdbuf());
  std::istream in(&buffer);
  std::string line;
  while (std::getline(in, line)) {
  }
  std::istringstream empty("");
  HashingBuffer none(empty.rdbuf());
  std::istream nothing(&none);
  std::getline(nothing, line);
  // xxhsum -H2 of the same bytes.
  EXPECT_EQ(none.Hash(), "xxh128:99aa06d3014798d86001c324468d497f");
  EXPECT_NE(buffer.Hash(), none.Hash());
}

}  // namespace
}  // namespace longrun::scaling
