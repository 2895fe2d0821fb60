#include "fleet/state.h"

#include <gtest/gtest.h>

#include "base/codec.h"
#include "base/random.h"
#include "fleet/desired.h"

namespace longrun::fleet {
namespace {

// A fleet that is told events one by one, each a millisecond after the one before.
class StateTest : public ::testing::Test {
 protected:
  bool Tell(EventBody body, const std::string& node = "") {
    now_ = now_ + Duration::Millis(1);
    Event event{.at = now_, .body = std::move(body)};
    if (!node.empty()) {
      event.source = {.node = NodeId(node), .session = session_[node], .seq = ++seq_[node]};
    }
    const bool changed = state_.Apply(event);
    for (const auto& [id, run] : state_.runs) {
      EXPECT_EQ(run.accounts.held, run.accounts.Sum() + run.pending_work);
    }
    return changed;
  }

  void Join(const std::string& node, int accelerators) {
    ++session_[node];
    seq_[node] = 0;
    Tell(NodeJoined{.node = NodeId(node),
                    .session = session_[node],
                    .address = "127.0.0.1",
                    .accelerators = accelerators},
         node);
  }

  // Two ranks on node a, a spare on node b, all ready.
  void StartPair(int64_t step = 0) {
    Join("a", 2);
    Join("b", 1);
    RunSpec spec{.name = kRun, .ranks = 2, .spares = 1};
    Tell(RunSubmitted{.spec = spec});
    Tell(IncarnationDecided{.run = kRun,
                            .incarnation = 1,
                            .gang = {1, 2},
                            .placed = {{1, NodeId("a"), {0}}, {2, NodeId("a"), {1}}}});
    Tell(ReservePlaced{.run = kRun, .placed = {{3, NodeId("b"), {0}}}});
    for (int member = 1; member <= 3; ++member) {
      const std::string node = member == 3 ? "b" : "a";
      Tell(MemberStarted{.run = kRun, .member = member, .pid = 100 + member}, node);
      Tell(MemberReady{.run = kRun, .member = member, .endpoint = "e"}, node);
    }
    for (int member = 1; member <= 2; ++member) {
      Tell(MemberJoined{.run = kRun, .member = member, .incarnation = 1, .step = step}, "a");
    }
  }

  void CommitStep(int64_t step, uint64_t incarnation = 1) {
    for (const MemberId member : run().gang) {
      Tell(MemberCommitted{.run = kRun,
                           .member = member,
                           .incarnation = incarnation,
                           .step = step,
                           .loss = 3.0,
                           .tokens = 10},
           run().Find(member)->node.text);
    }
  }

  const fleet::Run& run() { return *state_.FindRun(kRun); }

  const RunId kRun{"pair"};
  State state_;
  Time now_{1'000'000};
  std::map<std::string, uint64_t> session_, seq_;
};

TEST_F(StateTest, AStepIsCommittedWhenEveryRankHasAppliedIt) {
  StartPair();
  EXPECT_EQ(run().phase, Phase::kRunning);
  Tell(MemberCommitted{.run = kRun, .member = 1, .incarnation = 1, .step = 1, .tokens = 10}, "a");
  EXPECT_EQ(run().committed_step, 0);
  Tell(MemberCommitted{.run = kRun, .member = 2, .incarnation = 1, .step = 1, .tokens = 10}, "a");
  EXPECT_EQ(run().committed_step, 1);
  EXPECT_EQ(run().tokens, 10);
}

TEST_F(StateTest, ARepeatedOrLateFactChangesNothing) {
  StartPair();
  const uint64_t hash = HashOf(state_);
  const Event repeated{.at = now_ + Duration::Seconds(1),
                       .source = {NodeId("a"), 1, 3},
                       .body = MemberExited{.run = kRun, .member = 1, .code = 1}};
  EXPECT_FALSE(state_.Apply(repeated));
  EXPECT_EQ(HashOf(state_), hash);
}

TEST_F(StateTest, AnOlderIncarnationIsIgnored) {
  StartPair();
  CommitStep(1);
  Tell(MemberExited{.run = kRun, .member = 2, .signal = 9}, "a");
  EXPECT_EQ(run().phase, Phase::kRecovering);
  Tell(IncarnationDecided{.run = kRun, .incarnation = 2, .rung = Rung::kSwapSpare, .gang = {1, 3}});
  Tell(MemberCommitted{.run = kRun, .member = 1, .incarnation = 1, .step = 2}, "a");
  EXPECT_EQ(run().Find(1)->applied_step, 1);
  Tell(MemberJoined{.run = kRun, .member = 1, .incarnation = 1, .step = 2}, "a");
  EXPECT_EQ(run().Find(1)->joined, 1u);
}

TEST_F(StateTest, ASurvivorsStepIsKeptAndNoCommittedStepIsLost) {
  StartPair();
  CommitStep(1);
  CommitStep(2);
  // Rank 0 has applied step 3, rank 1 dies before it says so.
  Tell(MemberCommitted{.run = kRun, .member = 1, .incarnation = 1, .step = 3}, "a");
  Tell(MemberExited{.run = kRun, .member = 2, .signal = 9}, "a");
  Tell(IncarnationDecided{.run = kRun, .incarnation = 2, .rung = Rung::kSwapSpare, .gang = {1, 3}});
  Tell(MemberJoined{.run = kRun, .member = 1, .incarnation = 2, .step = 3}, "a");
  Tell(MemberJoined{.run = kRun, .member = 3, .incarnation = 2, .step = 3}, "b");
  EXPECT_EQ(run().phase, Phase::kRunning);
  EXPECT_EQ(run().committed_step, 3);
  EXPECT_EQ(run().committed_steps_lost, 0);
  CommitStep(4, 2);
  ASSERT_EQ(run().recoveries.size(), 1u);
  EXPECT_EQ(run().recoveries[0].rung, Rung::kSwapSpare);
  EXPECT_FALSE(run().recoveries[0].over_at.never());
  EXPECT_EQ(run().failures_without_progress, 0);
}

TEST_F(StateTest, StepsBehindTheCheckpointAreCountedAsLostAndAsRecomputed) {
  StartPair();
  for (int step = 1; step <= 5; ++step) CommitStep(step);
  const int64_t productive = run().accounts.productive;
  Tell(MemberExited{.run = kRun, .member = 1, .signal = 9}, "a");
  Tell(MemberExited{.run = kRun, .member = 2, .signal = 9}, "a");
  Tell(IncarnationDecided{.run = kRun,
                          .incarnation = 2,
                          .rung = Rung::kRestartGang,
                          .gang = {3, 4},
                          .placed = {{4, NodeId("a"), {0}}}});
  Tell(MemberStarted{.run = kRun, .member = 4, .pid = 7}, "a");
  Tell(MemberReady{.run = kRun, .member = 4, .endpoint = "e"}, "a");
  Tell(MemberJoined{.run = kRun, .member = 3, .incarnation = 2, .step = 2}, "b");
  Tell(MemberJoined{.run = kRun, .member = 4, .incarnation = 2, .step = 2}, "a");
  EXPECT_EQ(run().committed_steps_lost, 3);
  CommitStep(3, 2);
  EXPECT_EQ(run().accounts.productive, productive);
  EXPECT_GT(run().accounts.recomputed, 0);
  for (int step = 4; step <= 6; ++step) CommitStep(step, 2);
  EXPECT_EQ(run().best_step, 6);
  EXPECT_GT(run().accounts.productive, productive);
  EXPECT_EQ(run().tokens, 60);
}

TEST_F(StateTest, ARankWaitsForItsPeersUntilItsNextStep) {
  StartPair();
  CommitStep(1);
  const auto waits = [&](uint64_t incarnation, int64_t step) {
    Tell(MemberWaiting{.run = kRun, .member = 1, .incarnation = incarnation, .step = step}, "a");
    return run().Find(1)->waiting;
  };
  EXPECT_FALSE(waits(1, 0)) << "said before its last step, heard after";
  EXPECT_FALSE(waits(0, 1));
  EXPECT_TRUE(waits(1, 1));
  CommitStep(2);
  EXPECT_FALSE(run().Find(1)->waiting);
  EXPECT_FALSE(waits(1, 1));
  EXPECT_TRUE(waits(1, 2));
  Tell(IncarnationDecided{.run = kRun, .incarnation = 2, .rung = Rung::kException, .gang = {1, 2}});
  EXPECT_FALSE(run().Find(1)->waiting);
}

TEST_F(StateTest, StepsThatRanksFinishWhenToldToStopCount) {
  StartPair();
  CommitStep(1);
  Tell(CancelRequested{.run = kRun, .reason = "Ctrl-C"});
  Tell(MembersStopped{.run = kRun, .members = {1, 2}, .reason = "Ctrl-C"});
  Tell(MemberCommitted{.run = kRun, .member = 1, .incarnation = 1, .step = 2, .tokens = 10}, "a");
  EXPECT_EQ(run().committed_step, 1);
  Tell(MemberCommitted{.run = kRun, .member = 2, .incarnation = 1, .step = 2, .tokens = 10}, "a");
  EXPECT_EQ(run().committed_step, 2);
  EXPECT_EQ(run().tokens, 20);
}

TEST_F(StateTest, AStopDuringARecoveryCommitsWhatTheWholeGangHas) {
  StartPair();
  CommitStep(1);
  Tell(MemberExited{.run = kRun, .member = 2, .signal = 9}, "a");
  Tell(IncarnationDecided{.run = kRun, .incarnation = 2, .rung = Rung::kSwapSpare, .gang = {1, 3}});
  Tell(CancelRequested{.run = kRun, .reason = "Ctrl-C"});
  Tell(MemberJoined{.run = kRun, .member = 1, .incarnation = 2, .step = 1}, "a");
  Tell(MemberCommitted{.run = kRun, .member = 1, .incarnation = 2, .step = 2}, "a");
  EXPECT_EQ(run().committed_step, 1) << "rank 1 is not in the gang yet";
  Tell(MemberJoined{.run = kRun, .member = 3, .incarnation = 2, .step = 1}, "b");
  Tell(MemberCommitted{.run = kRun, .member = 3, .incarnation = 2, .step = 2}, "b");
  EXPECT_EQ(run().committed_step, 2);
}

TEST_F(StateTest, RanksThatEndWellBeforeTheyHearOfAnIncarnationLoseNoSteps) {
  StartPair();
  for (int64_t step = 1; step <= 5; ++step) CommitStep(step);
  Tell(IncarnationDecided{.run = kRun, .incarnation = 2, .rung = Rung::kException, .gang = {1, 2}});
  Tell(MemberExited{.run = kRun, .member = 1}, "a");
  Tell(MemberExited{.run = kRun, .member = 2}, "a");
  EXPECT_EQ(run().committed_step, 5);
  EXPECT_EQ(run().committed_steps_lost, 0);
}

TEST_F(StateTest, EndingAWholeGangByDecisionIsAFaultWithItsReason) {
  StartPair();
  CommitStep(1);
  Tell(MembersStopped{
      .run = kRun, .members = {1, 2}, .kill = true, .reason = "no step for too long"});
  ASSERT_EQ(run().recoveries.size(), 1u);
  EXPECT_EQ(run().recoveries[0].cause, "no step for too long");
  EXPECT_EQ(run().failures_without_progress, 1);
  EXPECT_EQ(run().phase, Phase::kRecovering);
}

TEST_F(StateTest, ALostNodeEndsItsProcessesAndFreesItsSlots) {
  StartPair();
  Tell(NodeLost{.node = NodeId("a"), .session = 1, .reason = "gone"});
  EXPECT_EQ(LostRanks(run()), (std::vector<MemberId>{1, 2}));
  EXPECT_EQ(run().faults, 2);
  EXPECT_EQ(run().recoveries.at(0).cause,
            "rank 0 (member 1 on a) was lost with its node; rank 1 (member 2 on a) was lost with "
            "its node");
  EXPECT_EQ(run().failures_without_progress, 1) << "one failure of one node";
  EXPECT_FALSE(state_.FindNode(NodeId("a"))->up);
  Join("a", 2);
  for (const Holder& slot : state_.FindNode(NodeId("a"))->slots) EXPECT_TRUE(slot.run.empty());
}

TEST_F(StateTest, ANewSessionEndsWhatRanInTheOldOne) {
  StartPair();
  Join("a", 2);
  EXPECT_EQ(LostRanks(run()).size(), 2u);
}

TEST_F(StateTest, AccountsOfAMomentAddUpToo) {
  StartPair();
  CommitStep(1);
  const Accounts accounts = AccountsAt(run(), now_ + Duration::Seconds(5));
  EXPECT_EQ(accounts.held, accounts.Sum());
  EXPECT_EQ(accounts.held - run().accounts.held, 3 * 5'000'000);
}

TEST_F(StateTest, ASpareOfAProgramWithoutTheProtocolIsHeld) {
  Join("a", 2);
  Tell(RunSubmitted{.spec = {.name = kRun, .ranks = 1, .spares = 1}});
  Tell(IncarnationDecided{
      .run = kRun, .incarnation = 1, .gang = {1}, .placed = {{1, NodeId("a"), {0}}}});
  Tell(ReservePlaced{.run = kRun, .placed = {{2, NodeId("a"), {1}}}});
  NodeDesired desired = DesiredOf(state_, *state_.FindNode(NodeId("a")), 1);
  ASSERT_EQ(desired.members.size(), 2u);
  EXPECT_EQ(desired.members[0].action, DesiredMember::Do::kRun);
  EXPECT_EQ(desired.members[0].world, 1);
  EXPECT_EQ(desired.members[1].action, DesiredMember::Do::kHold);
  Tell(MemberStarted{.run = kRun, .member = 1, .pid = 5}, "a");
  Tell(MemberReady{.run = kRun, .member = 1, .endpoint = "e:1"}, "a");
  desired = DesiredOf(state_, *state_.FindNode(NodeId("a")), 2);
  EXPECT_EQ(desired.members[1].action, DesiredMember::Do::kRun);
  ASSERT_EQ(desired.memberships.size(), 1u);
  EXPECT_EQ(desired.memberships[0].endpoints, std::vector<std::string>{"e:1"});
}

TEST_F(StateTest, EncodedStateComesBackTheSame) {
  StartPair();
  CommitStep(1);
  State copy;
  ASSERT_TRUE(DecodeBinary(EncodeBinary(state_), copy));
  EXPECT_EQ(HashOf(copy), HashOf(state_));
}

TEST_F(StateTest, TruncatedOrFlippedBytesNeverCrashTheDecoder) {
  StartPair();
  const std::string bytes = EncodeBinary(state_);
  Random random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = bytes.substr(0, random.Below(bytes.size()) + 1);
    damaged[random.Below(damaged.size())] ^= static_cast<char>(1 << random.Below(8));
    State copy;
    DecodeBinary(damaged, copy);
  }
}

}  // namespace
}  // namespace longrun::fleet
