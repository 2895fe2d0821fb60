#include "scaling/plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/random.h"
#include "scaling/plan/json.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

double Replicated(double n, double d) {  // Besiroglu et al. 2024
  return 1.81686 + 482.006 / std::pow(n, 0.34781) + 2085.43 / std::pow(d, 0.36585);
}

Cluster Example(const std::string& name) {
  const std::string path =
      std::string(std::getenv("LONGRUN_SOURCE")) + "/examples/clusters/" + name + ".yaml";
  return ParseCluster(ReadFile(path).value(), path).value();
}

PlanRequest Asking() {
  PlanRequest request;
  request.loss = Replicated;
  return request;
}

const Constraint& Named(const Plan& plan, const std::string& name) {
  for (const Constraint& constraint : plan.constraints) {
    if (constraint.name == name) return constraint;
  }
  ADD_FAILURE() << "no constraint " << name;
  static const Constraint none;
  return none;
}

TEST(PlanTest, AComputeAloneIsAPlan) {
  PlanRequest request = Asking();
  request.limits.compute_flop = 5.76e23;
  const Plan plan = MakePlan(request, nullptr).value();
  EXPECT_NEAR(plan.choice.tokens / plan.choice.params, 18.3, 0.1);
  EXPECT_FALSE(plan.execution.has_value());
  EXPECT_EQ(plan.binding, "compute");
  // A tenth more of it: what the law says of 1.1 times the compute.
  request.limits.compute_flop = 1.1 * 5.76e23;
  const Plan more = MakePlan(request, nullptr).value();
  EXPECT_NEAR(Named(plan, "compute").gain, plan.choice.loss - more.choice.loss, 1e-12);
}

// Published: 15.6e12 tokens on 16,384 H100, 30.84 million accelerator hours in all (Llama 3.1's
// model card), more than 90 % effective time, an interruption each 3.1 hours.
TEST(PlanTest, Llama3IsForetold) {
  PlanRequest request = Asking();
  request.params = 405.8e9;
  request.tokens = 15.6e12;
  request.shape = ModelShape{126, 16384, 128, 8, 128, 53248, true, 128256, false};
  request.batch_tokens = 16e6;
  request.limits.accelerators = 16384;
  Layout layout;  // table 4
  layout.data = 128;
  layout.tensor = 8;
  layout.pipeline = 16;
  layout.chunks = 7;
  request.layout = layout;
  const Cluster cluster = Example("llama-3-h100");
  const Plan plan = MakePlan(request, &cluster).value();
  const Execution& execution = *plan.execution;
  EXPECT_GT(execution.failures.share, 0.90);
  EXPECT_NEAR(execution.failures.mtbf_seconds / 3600, 3.09, 0.1);
  const double accelerator_hours = execution.accelerators * execution.seconds / 3600;
  EXPECT_NEAR(accelerator_hours / 30.84e6, 1, 0.1);
  EXPECT_LE(execution.layout.memory.total(), cluster.usable_bytes());
}

// Published: 366e9 tokens on 384 A100 took 1,082,990 accelerator hours and 433,196 kWh of the
// accelerators alone (Luccioni et al. 2022).
TEST(PlanTest, BloomIsForetold) {
  PlanRequest request = Asking();
  request.params = 176.25e9;
  request.tokens = 366e9;
  request.shape = ModelShape{70, 14336, 112, 112, 128, 57344, false, 250680, true};
  request.context = 2048;
  request.batch_tokens = 2048 * 2048;
  request.limits.accelerators = 384;
  Layout layout;
  layout.data = 8;
  layout.tensor = 4;
  layout.pipeline = 12;
  layout.recompute = true;
  request.layout = layout;
  const Cluster cluster = Example("jean-zay-a100");
  const Plan plan = MakePlan(request, &cluster).value();
  EXPECT_NEAR(plan.shape.Params(), 176.25e9, 0.5e9);
  const Execution& execution = *plan.execution;
  const double hours = execution.accelerators * execution.seconds / 3600;
  EXPECT_NEAR(hours / 1082990, 1, 0.15);
  const double spares = 1 + static_cast<double>(execution.failures.spare_nodes) / 48;
  EXPECT_NEAR(execution.energy_kwh / cluster.pue / spares / 433196, 1, 0.15);
}

TEST(PlanTest, CostsAddUp) {
  PlanRequest request = Asking();
  request.limits.compute_flop = 1e22;
  Cluster cluster = Example("aws-p5-h100");
  cluster.price.electricity_kwh = 0.1;
  const Execution execution = *MakePlan(request, &cluster)->execution;
  const double nodes = static_cast<double>(execution.layout.nodes + execution.failures.spare_nodes);
  const double hours = execution.seconds / 3600;
  EXPECT_DOUBLE_EQ(execution.peak_watts, nodes * 10200 * 1.15);
  EXPECT_DOUBLE_EQ(execution.energy_kwh, execution.peak_watts * hours / 1000);
  EXPECT_NEAR(*execution.cost, nodes * 8 * hours * 4.916 + 0.1 * execution.energy_kwh, 1e-6);
  EXPECT_NEAR(execution.busy_seconds,
              execution.training_flop /
                  (static_cast<double>(execution.accelerators) * 989e12 * execution.layout.mfu),
              1e-6);
  EXPECT_LE(execution.layout.nodes + execution.failures.spare_nodes, cluster.nodes);
}

TEST(PlanTest, MoneyBindsAndATenthMoreBuysALowerLoss) {
  PlanRequest request = Asking();
  request.limits.money = 1e6;
  request.limits.seconds = 365 * 86400;
  const Cluster cluster = Example("aws-p5-h100");
  const Plan plan = MakePlan(request, &cluster).value();
  EXPECT_TRUE(plan.feasible);
  EXPECT_EQ(plan.binding, "money");
  EXPECT_NEAR(*plan.execution->cost, 1e6, 1e3);
  EXPECT_GT(Named(plan, "money").gain, 0);
  EXPECT_EQ(Named(plan, "time").gain, 0);
}

TEST(PlanTest, TimeBindsWhereMoneyIsPlenty) {
  PlanRequest request = Asking();
  request.limits.money = 1e9;
  request.limits.seconds = 10 * 86400;
  const Cluster cluster = Example("aws-p5-h100");
  const Plan plan = MakePlan(request, &cluster).value();
  EXPECT_NEAR(plan.execution->seconds, 10 * 86400, 100);
  EXPECT_EQ(plan.binding, "time");
  // A tenth more accelerators buy nearly what a tenth more time does.
  EXPECT_NEAR(Named(plan, "accelerators").gain / Named(plan, "time").gain, 1, 0.3);
}

TEST(PlanTest, PowerBoundsTheAccelerators) {
  PlanRequest request = Asking();
  request.limits.seconds = 10 * 86400;
  request.limits.watts = 200e3;
  const Cluster cluster = Example("aws-p5-h100");
  const Plan plan = MakePlan(request, &cluster).value();
  EXPECT_LE(plan.execution->peak_watts, 200e3);
  EXPECT_LE(plan.execution->layout.nodes, 17);
  EXPECT_GT(Named(plan, "power").gain, 0);
  EXPECT_EQ(Named(plan, "accelerators").gain, 0);
}

TEST(PlanTest, DataBindsOnceAllOfItIsUsed) {
  PlanRequest request = Asking();
  request.limits.compute_flop = 5.76e23;
  request.limits.data_tokens = 3e11;
  const Plan plan = MakePlan(request, nullptr).value();
  EXPECT_NEAR(plan.choice.tokens, 3e11, 1e6);
  EXPECT_GT(Named(plan, "data").gain, 0);
}

TEST(PlanTest, ATargetThatTheLimitsForbidIsSaidAndWhatIsReachableGiven) {
  PlanRequest request = Asking();
  request.target_loss = 1.95;
  request.limits.seconds = 5 * 86400;
  const Cluster cluster = Example("aws-p5-h100");
  const Plan plan = MakePlan(request, &cluster).value();
  EXPECT_NEAR(plan.choice.loss, 1.95, 1e-6);
  EXPECT_FALSE(plan.feasible);
  EXPECT_EQ(plan.binding, "time");
  EXPECT_GT(Named(plan, "time").share(), 1);
  ASSERT_TRUE(plan.reachable.has_value());
  EXPECT_GT(plan.reachable->loss, 1.95);
}

TEST(PlanTest, ServingMakesASmallerModelOfTheSameLoss) {
  PlanRequest request = Asking();
  request.limits.compute_flop = 1e23;
  request.served_tokens = 1e13;
  const Plan plan = MakePlan(request, nullptr).value();
  ASSERT_TRUE(plan.over_trained.has_value());
  EXPECT_LT(plan.over_trained->choice.params, plan.choice.params);
  EXPECT_GT(plan.over_trained->choice.tokens, plan.choice.tokens);
  EXPECT_NEAR(plan.over_trained->choice.loss, plan.choice.loss, 1e-9);
  EXPECT_LT(plan.over_trained->total_flop, plan.over_trained->optimal_total_flop);
}

TEST(PlanTest, IntervalsComeFromTheOtherLaws) {
  PlanRequest request = Asking();
  request.limits.compute_flop = 5.76e23;
  Random random(3);
  for (int i = 0; i < 500; ++i) {
    const double beta = 0.36585 + 0.02 * random.Normal();
    request.others.push_back([beta](double n, double d) {
      return 1.81686 + 482.006 / std::pow(n, 0.34781) + 2085.43 / std::pow(d, beta);
    });
  }
  const AllocationIntervals spread = MakePlan(request, nullptr)->intervals;
  EXPECT_EQ(spread.draws, 500);
  ASSERT_EQ(spread.params.size(), 3u);
  EXPECT_LT(spread.params[2].low, spread.params[1].low);
  EXPECT_LT(spread.params[1].low, 72e9);
  EXPECT_GT(spread.params[1].high, 72e9);
  EXPECT_TRUE(MakePlan(Asking(), nullptr).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST(PlanTest, WhatCannotBePlannedIsSaid) {
  const Cluster cluster = Example("llama-3-h100");
  const auto message = [](const PlanRequest& request, const Cluster* on) {
    return std::string(MakePlan(request, on).status().message());
  };
  EXPECT_THAT(message(Asking(), &cluster), HasSubstr("nothing says how large"));
  PlanRequest request = Asking();
  request.limits.money = 1e6;
  EXPECT_THAT(message(request, nullptr), HasSubstr("need a cluster"));
  EXPECT_THAT(message(request, &cluster), HasSubstr("has no price"));
  request = Asking();
  request.target_loss = 1.5;
  EXPECT_THAT(message(request, nullptr), HasSubstr("out of reach"));
  request.params = 1e9;
  request.tokens = 1e9;
  EXPECT_THAT(message(request, nullptr), HasSubstr("leave out one"));
  request = Asking();
  request.limits.compute_flop = 1e22;
  request.limits.watts = 100;
  EXPECT_THAT(message(request, &cluster), HasSubstr("not one node"));
}

TEST(PlanTest, JsonHasWhatWasPlanned) {
  PlanRequest request = Asking();
  request.limits.compute_flop = 1e22;
  const Cluster cluster = Example("aws-p5-h100");
  const Plan plan = MakePlan(request, &cluster).value();
  const nlohmann::ordered_json json = PlanJson(plan, &cluster);
  EXPECT_EQ(json["params"], plan.choice.params);
  EXPECT_EQ(json["cluster"]["layout"]["data"], plan.execution->layout.layout.data);
  EXPECT_EQ(json["cluster"]["failures"]["effective_share"], plan.execution->failures.share);
  EXPECT_EQ(json["constraints"].size(), plan.constraints.size());
  EXPECT_TRUE(json["intervals"].is_null());
}

}  // namespace
}  // namespace longrun::scaling
