#include "api/run_view.h"

#include <gtest/gtest.h>

namespace longrun::api {
namespace {

fleet::Run Sample() {
  fleet::Run run;
  run.id = fleet::RunId("job");
  run.spec.ranks = 2;
  run.spec.spares = 1;
  run.phase = fleet::Phase::kRunning;
  run.gang = {1, 3};
  for (const fleet::MemberId id : {1, 2, 3}) {
    fleet::Member& member = run.members[id];
    member.id = id;
    member.phase = fleet::MemberPhase::kReady;
    member.node = fleet::NodeId("node-" + std::to_string(id));
  }
  run.committed_step = 12;
  run.metrics["total_steps"] = {100, 0};
  run.recoveries.push_back({.cause = "c",
                            .rung = fleet::Rung::kSwapSpare,
                            .fault_at = Time{1'000'000},
                            .joined_at = Time{1'100'000},
                            .over_at = Time{1'250'000}});
  run.recoveries.push_back({.cause = "d", .fault_at = Time{2'000'000}});
  return run;
}

TEST(ViewOfTest, RanksComeInOrderThenTheReserve) {
  const v1::RunView view = ViewOf(Sample(), Time{3'000'000});
  ASSERT_EQ(view.members_size(), 3);
  EXPECT_EQ(view.members(0).member(), 1);
  EXPECT_EQ(view.members(1).member(), 3);
  EXPECT_EQ(view.members(1).rank(), 1);
  EXPECT_EQ(view.members(2).member(), 2);
  EXPECT_EQ(view.members(2).rank(), -1);
}

TEST(ViewOfTest, TheDeadBesideTheGangAreNotShown) {
  fleet::Run run = Sample();
  run.members[2].phase = fleet::MemberPhase::kExited;
  run.members[3].phase = fleet::MemberPhase::kExited;
  const v1::RunView view = ViewOf(run, Time{3'000'000});
  ASSERT_EQ(view.members_size(), 2);
  EXPECT_EQ(view.members(1).phase(), "exited");
}

TEST(ViewOfTest, RecoveriesAreMeasuredFromTheFault) {
  const v1::RunView view = ViewOf(Sample(), Time{3'000'000});
  ASSERT_EQ(view.recoveries_size(), 2);
  EXPECT_TRUE(view.recoveries(0).over());
  EXPECT_DOUBLE_EQ(view.recoveries(0).seconds(), 0.25);
  EXPECT_DOUBLE_EQ(view.recoveries(0).joined_seconds(), 0.1);
  EXPECT_FALSE(view.recoveries(1).over());
  EXPECT_DOUBLE_EQ(view.recoveries(1).seconds(), 1);
}

TEST(ViewOfTest, TotalStepsAreWhatTheProgramSaid) {
  fleet::Run run = Sample();
  EXPECT_EQ(ViewOf(run, {}).total_steps(), 100);
  run.metrics["total_steps"].value = 1e300;
  EXPECT_EQ(ViewOf(run, {}).total_steps(), 0);
  run.metrics.clear();
  EXPECT_EQ(ViewOf(run, {}).total_steps(), 0);
}

TEST(ViewOfTest, LossIsAbsentUntilThereIsOne) {
  fleet::Run run = Sample();
  EXPECT_FALSE(ViewOf(run, {}).has_loss());
  run.has_loss = true;
  run.loss = 2;
  EXPECT_EQ(ViewOf(run, {}).loss(), 2);
}

TEST(ViewOfTest, EqualRequestsHaveEqualHashes) {
  fleet::Run run = Sample();
  const uint64_t hash = ViewOf(run, {}).spec_hash();
  run.committed_step = 99;
  EXPECT_EQ(ViewOf(run, {}).spec_hash(), hash);
  run.spec.ranks = 3;
  EXPECT_NE(ViewOf(run, {}).spec_hash(), hash);
}

TEST(ViewOfTest, NodesCountWhatIsFree) {
  fleet::Node node;
  node.id = fleet::NodeId("node-0");
  node.up = true;
  node.slots.resize(3);
  node.slots[1].run = fleet::RunId("job");
  EXPECT_EQ(ViewOf(node).accelerators(), 3);
  EXPECT_EQ(ViewOf(node).free(), 2);
}

}  // namespace
}  // namespace longrun::api
