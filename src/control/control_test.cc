#include "control/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/codec.h"
#include "control/memory_journal.h"

namespace longrun::control {
namespace {

using fleet::NodeId;
using fleet::RunId;

// Records what control asks for and tells what the test wants told.
class ScriptedEngine : public engine::Engine {
 public:
  std::vector<fleet::Event> Observe(Duration) override { return {}; }
  void Acknowledge(const NodeId& node, uint64_t, uint64_t seq) override {
    acknowledged[node] = seq;
  }
  void Apply(const fleet::NodeDesired& desired) override {
    ++applied;
    newest[desired.node] = desired;
  }
  absl::Status Inject(const engine::Fault&) override { return absl::OkStatus(); }
  void Expect(const std::vector<fleet::Node>& nodes) override { expected = nodes.size(); }
  void Wake() override {}

  std::map<NodeId, fleet::NodeDesired> newest;
  std::map<NodeId, uint64_t> acknowledged;
  int applied = 0;
  size_t expected = 0;
};

class ControlTest : public ::testing::Test {
 protected:
  void SetUp() override { Reopen(); }

  void Reopen() {
    control_ = std::make_unique<Control>(&journal_, &engine_, config_);
    ASSERT_TRUE(control_->Open(now_, {.version = "test", .pid = 1}).ok());
  }

  fleet::Event FromNode(const std::string& node, fleet::EventBody body) {
    return {.source = {NodeId(node), 1, ++seq_[node]}, .body = std::move(body)};
  }

  void Turn(std::vector<fleet::Event> facts, std::vector<fleet::EventBody> requests = {}) {
    now_ = now_ + Duration::Millis(10);
    ASSERT_TRUE(control_->Turn(now_, std::move(facts), std::move(requests)).ok());
  }

  void JoinAndSubmit() {
    Turn({FromNode("a", fleet::NodeJoined{.node = NodeId("a"), .session = 1, .accelerators = 3})});
    Turn({}, {fleet::RunSubmitted{.spec = {.name = RunId("r"), .ranks = 2, .spares = 1}}});
  }

  Config config_;
  MemoryJournal journal_;
  ScriptedEngine engine_;
  std::unique_ptr<Control> control_;
  Time now_{1'000'000};
  std::map<std::string, uint64_t> seq_;
};

TEST_F(ControlTest, ASubmittedRunIsPlacedInTheSameTurn) {
  JoinAndSubmit();
  const fleet::NodeDesired& desired = engine_.newest.at(NodeId("a"));
  ASSERT_EQ(desired.members.size(), 3u);
  EXPECT_EQ(desired.members[2].action, fleet::DesiredMember::Do::kHold);
  EXPECT_EQ(desired.specs.at(RunId("r")).ranks, 2);
}

TEST_F(ControlTest, FactsAreAcknowledgedOnceTheyAreInTheJournal) {
  JoinAndSubmit();
  Turn({FromNode("a", fleet::MemberStarted{.run = RunId("r"), .member = 1, .pid = 9})});
  EXPECT_EQ(engine_.acknowledged.at(NodeId("a")), 2u);
  EXPECT_EQ(journal_.last_seq(), control_->journal_seq());
}

TEST_F(ControlTest, ARepeatedFactIsAcknowledgedAgainAndNotJournaled) {
  JoinAndSubmit();
  const fleet::Event fact =
      FromNode("a", fleet::MemberStarted{.run = RunId("r"), .member = 1, .pid = 9});
  Turn({fact});
  const uint64_t seq = journal_.last_seq();
  engine_.acknowledged.clear();
  Turn({fact});
  EXPECT_EQ(journal_.last_seq(), seq);
  EXPECT_EQ(engine_.acknowledged.at(NodeId("a")), 2u);
}

TEST_F(ControlTest, TheNextControllerFoldsTheSameStateAndExpectsTheNodes) {
  JoinAndSubmit();
  Turn({FromNode("a", fleet::MemberStarted{.run = RunId("r"), .member = 1, .pid = 9})});
  fleet::State before = control_->state();
  Reopen();
  EXPECT_EQ(engine_.expected, 1u);
  before.events = control_->state().events;  // one more: the controller's own start
  before.controller_started = control_->state().controller_started;
  EXPECT_EQ(HashOf(control_->state()), HashOf(before));
}

TEST_F(ControlTest, ASnapshotBoundsTheReplayAndKeepsTheState) {
  config_.snapshot_every_events = 4;
  Reopen();
  JoinAndSubmit();
  for (int member = 1; member <= 3; ++member) {
    Turn({FromNode("a", fleet::MemberStarted{.run = RunId("r"), .member = member, .pid = 9})});
    Turn({FromNode("a", fleet::MemberReady{.run = RunId("r"), .member = member, .endpoint = "e"})});
  }
  const auto snapshot = journal_.NewestSnapshot();
  ASSERT_TRUE(snapshot.ok() && snapshot->has_value());
  const auto folded = FoldJournal(journal_);
  ASSERT_TRUE(folded.ok());
  EXPECT_EQ(HashOf(*folded), HashOf(control_->state()));
}

TEST_F(ControlTest, AWishThatTheNodeDoesNotYetMeetIsRepeated) {
  JoinAndSubmit();
  const int applied = engine_.applied;
  Turn({});
  EXPECT_EQ(engine_.applied, applied);
  now_ = now_ + Duration::Seconds(2);
  Turn({});
  EXPECT_EQ(engine_.applied, applied + 1);
}

TEST_F(ControlTest, ANameInUseIsRefused) {
  JoinAndSubmit();
  const auto status = control_->Check(fleet::RunSubmitted{.spec = {.name = RunId("r")}});
  EXPECT_TRUE(absl::IsAlreadyExists(status));
  EXPECT_TRUE(absl::IsNotFound(control_->Check(fleet::CancelRequested{.run = RunId("x")})));
}

}  // namespace
}  // namespace longrun::control
