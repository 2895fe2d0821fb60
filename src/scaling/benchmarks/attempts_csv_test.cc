#include "scaling/benchmarks/attempts_csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace longrun::scaling {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

absl::StatusOr<AttemptTable> Read(const std::string& text, const AttemptColumns& columns = {},
                                  const std::set<std::string>& without = {}) {
  std::istringstream in(text);
  return ReadAttempts(in, "a.csv", columns, without);
}

std::string ErrorOf(const std::string& text) { return std::string(Read(text).status().message()); }

constexpr char kHeader[] = "problem,model,compute,attempts,passes\n";

TEST(AttemptsCsvTest, ColumnsMayHaveAnyNameAndOrder) {
  const AttemptTable table = Read("\xEF\xBB\xBFn;ok;task;net;flop\n10;3;sum;small;1e18\n",
                                  {"task", "net", "flop", "n", "ok"})
                                 .value();
  ASSERT_EQ(table.problem_count(), 1);
  EXPECT_EQ(table.problem(0), "sum");
  EXPECT_EQ(table.model(0).compute_flop, 1e18);
  EXPECT_EQ(table.cell(0, 0).attempts, 10);
  EXPECT_EQ(table.cell(0, 0).passes, 3);
}

TEST(AttemptsCsvTest, AModelCanBeLeftOut) {
  const std::string text = std::string(kHeader) + "p,a,1,10,3\np,b,2,10,5\n";
  EXPECT_EQ(Read(text, {}, {"a"}).value().model_count(), 1);
  EXPECT_THAT(std::string(Read(text, {}, {"c"}).status().message()),
              AllOf(HasSubstr("no model \"c\""), HasSubstr("a, b")));
}

TEST(AttemptsCsvTest, MoreRowsThanMemoryShouldHoldAreRefused) {
  std::istringstream in(std::string(kHeader) + "p,a,1,10,3\nq,a,1,10,5\nr,a,1,10,5\n");
  EXPECT_THAT(std::string(ReadAttempts(in, "a.csv", {}, {}, 2).status().message()),
              HasSubstr("more than 2 rows"));
}

TEST(AttemptsCsvTest, MistakesNameLineAndField) {
  const std::string header = kHeader;
  EXPECT_THAT(ErrorOf("problem,model,attempts,passes\n"), HasSubstr("compute"));
  EXPECT_THAT(ErrorOf(header), HasSubstr("no rows after the header"));
  EXPECT_THAT(ErrorOf(header + "p,m,1e18,10,3\nq,m,1e18,ten,3\n"),
              AllOf(HasSubstr("a.csv:3"), HasSubstr("attempts"), HasSubstr("ten")));
  EXPECT_THAT(ErrorOf(header + "p,m,1e18,10,2.5\n"), HasSubstr("2.5"));
  EXPECT_THAT(ErrorOf(header + "p,m,nan,10,3\n"), HasSubstr("nan"));
  EXPECT_THAT(ErrorOf(header + "p,m,0,10,3\n"), HasSubstr("must be above 0"));
  EXPECT_THAT(ErrorOf(header + "p,m,1e18,10,-3\n"), HasSubstr("-3"));
  EXPECT_THAT(ErrorOf(header + ",m,1e18,10,3\n"), HasSubstr("a name is missing"));
  EXPECT_THAT(ErrorOf(header + "p,m,1e18,10,11\n"),
              AllOf(HasSubstr("a.csv:2"), HasSubstr("11 passes in 10 attempts")));
  EXPECT_THAT(ErrorOf(header + "p,m,1e18,10,3\np,m,1e18,10,3\n"),
              AllOf(HasSubstr("a.csv:3"), HasSubstr("earlier row")));
}

}  // namespace
}  // namespace longrun::scaling
