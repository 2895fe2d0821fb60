#include "scaling/picture/pass_rate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"

namespace longrun::scaling {
namespace {

// 40 problems whose −log p falls as C^−0.1, five models, 2,000 attempts each.
AttemptTable Table() {
  AttemptTable table;
  for (int problem = 0; problem < 40; ++problem) {
    for (int model = 0; model < 5; ++model) {
      const double compute = 1e18 * std::pow(10, model);
      const double neg_log = (0.2 + 0.05 * problem) * std::pow(compute / 1e18, -0.1);
      const auto passes = static_cast<int64_t>(std::lround(2000 * std::exp(-neg_log)));
      EXPECT_TRUE(
          table.Add({absl::StrCat("p", problem), absl::StrCat("m", model), compute, 2000, passes})
              .ok());
    }
  }
  return table;
}

TEST(PicturePassRateTest, LawBucketsAndRates) {
  const AttemptTable table = Table();
  const PassRates rates = SummarizePassRates(table);
  const Picture picture =
      PassRatePicture(WholeGroup(table, rates), BucketByDifficulty(table, rates, 4), {1e24});
  ASSERT_EQ(picture.panels.size(), 3u);
  const Panel& bars = picture.panels[2];
  EXPECT_EQ(bars.x.names.size(), 4u);
  ASSERT_EQ(bars.series.size(), 2u);
  for (size_t b = 0; b < 4; ++b) {
    // A larger model solves more of each bucket, and easier buckets are solved more.
    EXPECT_GT(bars.series[1].y[b], bars.series[0].y[b]);
    if (b > 0) {
      EXPECT_LT(bars.series[0].y[b], bars.series[0].y[b - 1]);
    }
    EXPECT_LE(bars.series[1].y_low[b], bars.series[1].y[b]);
    EXPECT_GE(bars.series[1].y_high[b], bars.series[1].y[b]);
  }
}

}  // namespace
}  // namespace longrun::scaling
