#include "scaling/forecast/curve_csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace longrun::scaling {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(CurveCsvTest, RowsAreSortedAndTheLastOfTwoCounts) {
  std::istringstream in("tokens,loss\n200,3\n100,4\n200,2.5\n");
  const Curve curve = ReadCurve(in, "c.csv", {}).value();
  ASSERT_EQ(curve.size(), 2);
  EXPECT_EQ(curve[0].tokens, 100);
  EXPECT_EQ(curve[1].loss, 2.5);
}

TEST(CurveCsvTest, StepsBecomeTokens) {
  std::istringstream in("step;train\n1;4\n2;3\n");
  const Curve curve =
      ReadCurve(in, "c.csv", {.tokens = "step", .loss = "train", .tokens_per_step = 512}).value();
  EXPECT_EQ(curve[1].tokens, 1024);
}

TEST(CurveCsvTest, CurvesOfSeveralRunsAreToldApart) {
  std::istringstream in("run,params,tokens,loss\na,10,100,4\nb,20,100,3\na,10,200,3.5\n");
  const std::vector<RunCurve> runs = ReadRunCurves(in, "c.csv", {}).value();
  ASSERT_EQ(runs.size(), 2);
  EXPECT_EQ(runs[0].run.params, 10);
  EXPECT_EQ(runs[0].run.tokens, 200);
  EXPECT_EQ(runs[0].run.compute, 12000);
  EXPECT_EQ(runs[0].curve.size(), 2);
}

TEST(CurveCsvTest, MistakesNameLineAndField) {
  const auto message = [](const std::string& text) {
    std::istringstream in(text);
    return std::string(ReadCurve(in, "c.csv", {}).status().message());
  };
  EXPECT_THAT(message("tokens,los\n1,1\n"), HasSubstr("\"loss\""));
  EXPECT_THAT(message("tokens,loss\n"), HasSubstr("no rows"));
  EXPECT_THAT(message("tokens,loss\n1,nan\n"), AllOf(HasSubstr("c.csv:2"), HasSubstr("loss")));
  EXPECT_THAT(message("tokens,loss\n0,1\n"), HasSubstr("above 0"));
  std::istringstream in("run,params,tokens,loss\na,10,100,4\na,11,200,3\n");
  EXPECT_THAT(std::string(ReadRunCurves(in, "c.csv", {}).status().message()),
              AllOf(HasSubstr("c.csv:3"), HasSubstr("had 10 before")));
}

}  // namespace
}  // namespace longrun::scaling
