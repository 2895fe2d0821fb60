#include "cli/scaling/plan_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "absl/strings/str_split.h"
#include "base/file.h"

namespace longrun::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

double Loss(double n, double d) {
  return 1.81686 + 482.006 / std::pow(n, 0.34781) + 2085.43 / std::pow(d, 0.36585);
}

scaling::Cluster Example(const std::string& name) {
  const std::string path =
      std::string(std::getenv("LONGRUN_SOURCE")) + "/examples/clusters/" + name + ".yaml";
  return scaling::ParseCluster(ReadFile(path).value(), path).value();
}

std::string TextOf(const scaling::PlanRequest& request, const scaling::Cluster* cluster) {
  return PlanText(scaling::MakePlan(request, cluster).value(), cluster, "a law");
}

TEST(PlanViewTest, AModelAloneHasNoCluster) {
  scaling::PlanRequest request;
  request.loss = Loss;
  request.limits.compute_flop = 5.76e23;
  const std::string text = TextOf(request, nullptr);
  EXPECT_THAT(text, HasSubstr("72.35 B parameters on 1.33 T tokens (18.3 a parameter)"));
  EXPECT_THAT(text, HasSubstr("binds first"));
  EXPECT_THAT(text, Not(HasSubstr("layout")));
}

TEST(PlanViewTest, LinesFitAScreen) {
  scaling::PlanRequest request;
  request.loss = Loss;
  request.limits.money = 1e6;
  request.limits.seconds = 30 * 86400;
  request.served_tokens = 1e13;
  for (int i = 0; i < 30; ++i) {
    request.others.push_back([i](double n, double d) { return Loss(n, d) + 0.001 * i; });
  }
  const scaling::Cluster cluster = Example("aws-p5-h100");
  const std::string text = TextOf(request, &cluster);
  for (const auto& line : absl::StrSplit(text, '\n')) EXPECT_LE(line.size(), 106u) << line;
  for (const char* word : {"layout", "memory", "failures", "time", "power", "cost", "serving",
                           "to serve", "80 %", "money", "← binds first", "price:"}) {
    EXPECT_THAT(text, HasSubstr(word));
  }
}

TEST(PlanViewTest, WhatIsOutOfReachIsSaid) {
  scaling::PlanRequest request;
  request.loss = Loss;
  request.target_loss = 1.95;
  request.limits.seconds = 86400;
  const scaling::Cluster cluster = Example("aws-p5-h100");
  const std::string text = TextOf(request, &cluster);
  EXPECT_THAT(text, HasSubstr("← exceeded"));
  EXPECT_THAT(text, HasSubstr("out of the limits' reach; time is exceeded most"));
  EXPECT_THAT(text, HasSubstr("Within them: "));
}

}  // namespace
}  // namespace longrun::cli
