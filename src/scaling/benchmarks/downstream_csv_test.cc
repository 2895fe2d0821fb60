#include "scaling/benchmarks/downstream_csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace longrun::scaling {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

absl::StatusOr<DownstreamData> Read(const std::string& text, const DownstreamColumns& columns) {
  std::istringstream in(text);
  return ReadDownstream(in, "m.csv", columns);
}

TEST(DownstreamCsvTest, ErrorsAreTurnedIntoAccuracyAndRowsChosen) {
  const DownstreamData data = Read("set,loss,err,c\na,3,0.75,1e18\nb,2,0.5,1e19\na,2.5,0.625,\n",
                                   {.error = "err", .compute = "c", .where = {{"set", "a"}}})
                                  .value();
  ASSERT_EQ(data.points.size(), 2);
  EXPECT_EQ(data.points[0].accuracy, 0.25);
  EXPECT_EQ(data.points[1].accuracy, 0.375);
  ASSERT_EQ(data.losses.size(), 1) << "a row without compute counts for the second step alone";
  EXPECT_EQ(data.losses[0].compute_flop, 1e18);
}

TEST(DownstreamCsvTest, MistakesNameLineAndField) {
  const auto error = [](const std::string& text, const DownstreamColumns& columns = {}) {
    return std::string(Read(text, columns).status().message());
  };
  EXPECT_THAT(error("loss,acc\n2,0.5\n"), HasSubstr("accuracy"));
  EXPECT_THAT(error("loss,accuracy\n"), HasSubstr("no rows"));
  EXPECT_THAT(error("loss,accuracy\n2,0.5\n", {.where = {{"loss", "3"}}}),
              HasSubstr("no row meets --where"));
  EXPECT_THAT(error("loss,accuracy\n2,0.5\n-1,0.5\n"),
              AllOf(HasSubstr("m.csv:3"), HasSubstr("loss")));
  EXPECT_THAT(error("loss,accuracy\n2,47.5\n"), HasSubstr("not per cent"));
  EXPECT_THAT(error("loss,accuracy,c\n2,0.5,0\n", {.compute = "c"}), HasSubstr("above 0"));
}

}  // namespace
}  // namespace longrun::scaling
