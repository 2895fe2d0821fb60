#include "placement/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"

namespace longrun::placement {
namespace {

using fleet::EventBody;
using fleet::IncarnationDecided;
using fleet::NodeId;
using fleet::ReservePlaced;
using fleet::RunId;
using fleet::RunWaits;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class PlacementTest : public ::testing::Test {
 protected:
  void AddNode(const std::string& id, int accelerators, const std::string& rack = "r") {
    state_.Apply({.at = now_,
                  .body = fleet::NodeJoined{.node = NodeId(id),
                                            .session = 1,
                                            .labels = {{"rack", rack}},
                                            .accelerators = accelerators,
                                            .type = "gpu",
                                            .cpu_milli = 8000}});
  }
  void Submit(fleet::RunSpec spec) {
    now_ = now_ + Duration::Millis(1);
    state_.Apply({.at = now_, .body = fleet::RunSubmitted{.spec = std::move(spec)}});
  }
  std::vector<EventBody> Decide() {
    Random random(1);
    return placement::Decide(state_, Config(), now_, random);
  }
  // Folds what is decided until nothing more is.
  void Settle() {
    for (int i = 0; i < 10; ++i) {
      const auto out = Decide();
      for (const EventBody& body : out) state_.Apply({.at = now_, .body = body});
      if (out.empty()) return;
    }
    ADD_FAILURE() << "placement does not settle";
  }
  static std::set<std::string> NodesOf(const std::vector<fleet::Placement>& placed) {
    std::set<std::string> nodes;
    for (const auto& placement : placed) nodes.insert(placement.node.text);
    return nodes;
  }
  const fleet::Run& run(const std::string& id) { return *state_.FindRun(RunId(id)); }

  fleet::State state_;
  Time now_{1'000'000};
};

TEST_F(PlacementTest, AGangIsPlacedWholeOrNotAtAll) {
  AddNode("a", 2);
  AddNode("b", 1);
  Submit({.name = RunId("r"), .ranks = 4});
  auto out = Decide();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_THAT(std::get<RunWaits>(out[0]).reason, HasSubstr("there is room for 3"));
  AddNode("c", 1);
  out = Decide();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_THAT(std::get<IncarnationDecided>(out[0]).gang, SizeIs(4));
}

TEST_F(PlacementTest, AnElasticGangStartsWithWhatThereIs) {
  AddNode("a", 3);
  Submit({.name = RunId("r"), .ranks = 4, .elastic_min = 2});
  EXPECT_THAT(std::get<IncarnationDecided>(Decide().at(0)).gang, SizeIs(3));
}

TEST_F(PlacementTest, AGangTakesTheFewestNodes) {
  AddNode("a", 1);
  AddNode("b", 4);
  Submit({.name = RunId("r"), .ranks = 4});
  EXPECT_EQ(NodesOf(std::get<IncarnationDecided>(Decide().at(0)).placed),
            std::set<std::string>{"b"});
}

TEST_F(PlacementTest, AGangWithinOneRackTakesTheTightestThatFits) {
  AddNode("a", 2, "one");
  AddNode("b", 8, "two");
  AddNode("c", 4, "three");
  Submit({.name = RunId("r"), .ranks = 3, .within = "rack"});
  EXPECT_EQ(NodesOf(std::get<IncarnationDecided>(Decide().at(0)).placed),
            std::set<std::string>{"c"});
}

TEST_F(PlacementTest, AGangThatNoRackHoldsWaitsThoughTheFleetHasRoom) {
  AddNode("a", 2, "one");
  AddNode("b", 2, "two");
  Submit({.name = RunId("r"), .ranks = 3, .within = "rack"});
  EXPECT_THAT(std::get<RunWaits>(Decide().at(0)).reason, HasSubstr("within one rack"));
}

TEST_F(PlacementTest, ASpareAvoidsTheGangsNodesAndItsRackWhereAsked) {
  AddNode("a", 3, "one");
  AddNode("b", 1, "one");
  AddNode("c", 1, "two");
  Submit({.name = RunId("r"), .ranks = 2, .spares = 1, .spares_where = "other-rack"});
  Settle();
  EXPECT_EQ(run("r").Find(3)->node, NodeId("c"));
}

// A spare that is left where no rank of the gang is any more would take a rank away from the
// others.
TEST_F(PlacementTest, ANewGangWithinOneRackEndsTheSparesOfOtherRacks) {
  AddNode("a", 2, "one");
  AddNode("b", 1, "one");
  AddNode("c", 3, "two");
  Submit({.name = RunId("r"), .ranks = 2, .spares = 1, .within = "rack"});
  Settle();
  ASSERT_EQ(run("r").Find(1)->node, NodeId("a"));
  ASSERT_EQ(run("r").Find(3)->node, NodeId("b"));
  state_.Apply({.at = now_, .body = fleet::NodeLost{.node = NodeId("a"), .session = 1}});
  const auto out = Decide();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_THAT(std::get<fleet::MembersStopped>(out[0]).members, ::testing::ElementsAre(3));
  Settle();
  EXPECT_EQ(run("r").incarnation, 2u);
  for (const fleet::MemberId id : run("r").gang) EXPECT_EQ(run("r").Find(id)->node, NodeId("c"));
}

TEST_F(PlacementTest, AGangThatIsRestartedWholeGetsNoReplacements) {
  AddNode("a", 6);
  Submit({.name = RunId("r"), .ranks = 2});
  Settle();
  const auto at = [&](fleet::EventBody body) {
    static uint64_t seq = 1;
    state_.Apply({.at = now_, .source = {NodeId("a"), 1, ++seq}, .body = std::move(body)});
  };
  at(fleet::MemberStarted{.run = RunId("r"), .member = 1});
  at(fleet::MemberExited{.run = RunId("r"), .member = 1, .code = 1});
  EXPECT_THAT(Decide(), IsEmpty()) << "the program does not speak the protocol";
  at(fleet::MemberStarted{.run = RunId("r"), .member = 2});
  at(fleet::MemberReady{.run = RunId("r"), .member = 2, .endpoint = "e"});
  EXPECT_EQ(std::get<ReservePlaced>(Decide().at(0)).placed.size(), 1u);
}

TEST_F(PlacementTest, TheMoreUrgentAndTheOlderRunGoesFirst) {
  AddNode("a", 2);
  Submit({.name = RunId("old"), .ranks = 2});
  Submit({.name = RunId("urgent"), .ranks = 2, .priority = fleet::Priority::kHigh});
  Settle();
  EXPECT_EQ(run("urgent").incarnation, 1u);
  EXPECT_EQ(run("old").incarnation, 0u);
}

TEST_F(PlacementTest, CpuAndMemoryBoundWhatFits) {
  AddNode("a", 8);
  Submit({.name = RunId("r"), .ranks = 3, .resources = {.cpu_milli = 3000}});
  EXPECT_THAT(std::get<RunWaits>(Decide().at(0)).reason, HasSubstr("room for 2"));
}

TEST_F(PlacementTest, AnotherTypeOfAcceleratorIsNotTaken) {
  AddNode("a", 2);
  Submit({.name = RunId("r"), .ranks = 1, .resources = {.type = "h200"}});
  EXPECT_TRUE(std::holds_alternative<RunWaits>(Decide().at(0)));
}

TEST_F(PlacementTest, ADeadSpareIsReplacedAfterABackoff) {
  AddNode("a", 1);
  AddNode("b", 1);
  Submit({.name = RunId("r"), .ranks = 1, .spares = 1});
  Settle();
  state_.Apply(
      {.at = now_, .body = fleet::MemberExited{.run = RunId("r"), .member = 2, .code = 1}});
  EXPECT_THAT(Decide(), IsEmpty());
  now_ = now_ + Duration::Seconds(1);
  const auto out = Decide();
  ASSERT_THAT(out, SizeIs(1));
  EXPECT_EQ(std::get<ReservePlaced>(out[0]).placed.at(0).member, 3);
}

TEST_F(PlacementTest, NoSlotIsGivenTwiceOverThousandsOfSeededFleets) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    Random random(seed);
    state_ = fleet::State();
    now_ = Time{1'000'000};
    const int nodes = static_cast<int>(random.Between(1, 6));
    for (int i = 0; i < nodes; ++i) {
      AddNode(absl::StrCat("n", i), static_cast<int>(random.Between(1, 4)),
              absl::StrCat("rack", random.Below(3)));
    }
    const int runs = static_cast<int>(random.Between(1, 4));
    for (int i = 0; i < runs; ++i) {
      Submit({.name = RunId(absl::StrCat("r", i)),
              .ranks = static_cast<int>(random.Between(1, 6)),
              .elastic_min = random.Chance(0.3) ? 1 : 0,
              .spares = static_cast<int>(random.Between(0, 2)),
              .resources = {.accelerators = static_cast<int>(random.Between(1, 2))},
              .within = random.Chance(0.3) ? "rack" : ""});
    }
    Settle();  // the fold aborts on a slot given twice
    for (const auto& [id, run] : state_.runs) {
      if (run.incarnation == 0 || run.spec.elastic_min > 0) continue;
      EXPECT_EQ(static_cast<int>(run.gang.size()), run.spec.ranks) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace longrun::placement
