#include "cli/scaling/run_curve.h"

#include <gtest/gtest.h>

namespace longrun::cli {
namespace {

fleet::Event Submitted(const std::string& run) {
  fleet::RunSubmitted body;
  body.spec.name = fleet::RunId{run};
  return {.body = body};
}

fleet::Event Committed(const std::string& run, int64_t step, double loss) {
  fleet::MemberCommitted body;
  body.run = fleet::RunId{run};
  body.step = step;
  body.loss = loss;
  body.tokens = 100;
  return {.body = body};
}

fleet::Event Metric(const std::string& name, int64_t step, double value) {
  fleet::MetricReported body;
  body.run = fleet::RunId{"a"};
  body.name = name;
  body.step = step;
  body.value = value;
  return {.body = body};
}

TEST(RunCurveTest, EachStepCountsOnceWhicheverRanksToldOfIt) {
  RunCurveReader reader("a", "");
  reader.Take(Submitted("a"));
  for (const int64_t step : {1, 1, 2, 1, 2, 3}) {
    reader.Take(Committed("a", step, 4.0 - step));
    reader.Take(Committed("b", step, 9));
  }
  const scaling::Curve curve = reader.curve();
  ASSERT_EQ(curve.size(), 3);
  EXPECT_EQ(curve[2].tokens, 300);
  EXPECT_EQ(curve[2].loss, 1);
}

TEST(RunCurveTest, ARunBegunAnewLeavesItsOldStepsBehind) {
  RunCurveReader reader("a", "");
  reader.Take(Submitted("a"));
  for (int64_t step = 1; step <= 5; ++step) reader.Take(Committed("a", step, 4));
  reader.Take(Submitted("a"));
  EXPECT_EQ(reader.curve().size(), 5) << "until it has committed";
  reader.Take(Committed("a", 3, 2));
  ASSERT_EQ(reader.curve().size(), 3);
  EXPECT_EQ(reader.curve()[2].loss, 2);
}

TEST(RunCurveTest, AMetricTakesThePlaceOfTheLoss) {
  RunCurveReader reader("a", "validation_loss");
  reader.Take(Submitted("a"));
  for (int64_t step = 1; step <= 4; ++step) reader.Take(Committed("a", step, 4));
  reader.Take(Metric("validation_loss", 2, 3.5));
  reader.Take(Metric("other", 3, 1));
  reader.Take(Metric("validation_loss", 4, 3.25));
  const scaling::Curve curve = reader.curve();
  ASSERT_EQ(curve.size(), 2);
  EXPECT_EQ(curve[0].tokens, 200);
  EXPECT_EQ(curve[1].loss, 3.25);
  EXPECT_TRUE(reader.seen());
  EXPECT_FALSE(RunCurveReader("b", "").seen());
}

}  // namespace
}  // namespace longrun::cli
