#include "recovery/recovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace longrun::recovery {
namespace {

using fleet::EventBody;
using fleet::IncarnationDecided;
using fleet::Member;
using fleet::MemberPhase;
using fleet::MembersStopped;
using fleet::Phase;

using fleet::RunFinished;
using fleet::Rung;
using fleet::RunWaits;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A run of `ranks` ranks (members 1…) that is in incarnation 1 and has lost none.
class RecoveryTest : public ::testing::Test {
 protected:
  void Build(int ranks, bool protocol = true) {
    run_.id = fleet::RunId("r");
    run_.spec.name = run_.id;
    run_.spec.ranks = ranks;
    run_.phase = Phase::kRunning;
    run_.speaks_protocol = protocol;
    run_.incarnation = 1;
    for (int rank = 0; rank < ranks; ++rank) {
      Add(rank);
      run_.gang.push_back(rank + 1);
    }
  }

  Member& Add(int rank, MemberPhase phase = MemberPhase::kReady) {
    const fleet::MemberId id = run_.next_member++;
    Member& member = run_.members[id];
    member.id = id;
    member.rank = rank;
    member.phase = phase;
    member.node = fleet::NodeId("n");
    member.placed_at = Time{500};
    member.progress_at = now_;
    member.joined = rank >= 0 ? run_.incarnation : 0;
    return member;
  }

  void Lose(fleet::MemberId id, int code = 0, int signal = 9) {
    Member& member = run_.members.at(id);
    member.phase = MemberPhase::kExited;
    member.exit_code = code;
    member.exit_signal = signal;
    run_.phase = Phase::kRecovering;
    run_.recoveries.push_back({.cause = "rank lost", .fault_at = Time{1000}});
    ++run_.failures_without_progress;
  }

  std::vector<EventBody> Decide() {
    fleet::State state;
    state.runs.emplace(run_.id, run_);
    state.controller_started = controller_started_;
    Random random(1);
    return recovery::Decide(state, config_, now_, random);
  }

  template <class T>
  T TheOnly() {
    const std::vector<EventBody> out = Decide();
    EXPECT_EQ(out.size(), 1u);
    if (out.empty() || !std::holds_alternative<T>(out[0])) {
      ADD_FAILURE() << "another decision: " << (out.empty() ? "none" : fleet::Describe(out[0]));
      return {};
    }
    return std::get<T>(out[0]);
  }

  Config config_;
  fleet::Run run_;
  Time now_{10'000'000};
  Time controller_started_;
};

TEST_F(RecoveryTest, AWholeGangIsLeftAlone) {
  Build(4);
  Add(-1);
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(RecoveryTest, AReadySpareTakesTheLostRanksPlace) {
  Build(4);
  Add(-1);
  Lose(2);
  const auto next = TheOnly<IncarnationDecided>();
  EXPECT_EQ(next.rung, Rung::kSwapSpare);
  EXPECT_EQ(next.incarnation, 2u);
  EXPECT_THAT(next.gang, ElementsAre(1, 5, 3, 4));
}

TEST_F(RecoveryTest, AMemberPlacedAfterTheFaultIsARestartedProcess) {
  Build(2);
  Lose(2);
  Add(-1).placed_at = Time{2000};
  EXPECT_EQ(TheOnly<IncarnationDecided>().rung, Rung::kRestartProcess);
}

TEST_F(RecoveryTest, WithoutAReadyMemberTheSurvivorsWaitAndKeepTheirState) {
  Build(4);
  Lose(3);
  EXPECT_THAT(TheOnly<RunWaits>().reason, HasSubstr("no replacement is placed yet"));
  Add(-1, MemberPhase::kStarted);
  EXPECT_THAT(TheOnly<RunWaits>().reason, HasSubstr("starting"));
}

TEST_F(RecoveryTest, TheSameWaitIsDecidedOnce) {
  Build(4);
  Lose(3);
  const auto wait = TheOnly<RunWaits>();
  run_.waits = true;
  run_.reason = wait.reason;
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(RecoveryTest, AnElasticRunGoesOnWithFewerButNotWithTooFew) {
  Build(4);
  run_.spec.elastic_min = 3;
  Lose(1);
  const auto next = TheOnly<IncarnationDecided>();
  EXPECT_EQ(next.rung, Rung::kShrink);
  EXPECT_THAT(next.gang, ElementsAre(2, 3, 4));
  Lose(2);
  TheOnly<RunWaits>();
}

TEST_F(RecoveryTest, AShortGangGrowsWhenAMemberIsReady) {
  Build(3);
  run_.spec.ranks = 4;
  run_.spec.elastic_min = 2;
  Add(-1);
  const auto next = TheOnly<IncarnationDecided>();
  EXPECT_EQ(next.rung, Rung::kGrow);
  EXPECT_THAT(next.gang, ElementsAre(1, 2, 3, 4));
}

TEST_F(RecoveryTest, AHungRankIsKilledFirst) {
  Build(2);
  Add(-1);
  run_.members.at(1).silent = true;
  const auto stopped = TheOnly<MembersStopped>();
  EXPECT_TRUE(stopped.kill);
  EXPECT_THAT(stopped.members, ElementsAre(1));
  run_.members.at(1).killing = run_.members.at(1).stopping = true;
  EXPECT_THAT(TheOnly<IncarnationDecided>().gang, ElementsAre(3, 2))
      << "its death need not be awaited";
}

TEST_F(RecoveryTest, NoProgressOfRanksThatAllAnswerEndsTheGang) {
  Build(2);
  run_.step_seconds = 0.1;
  now_ = now_ + Duration::Minutes(10);
  EXPECT_THAT(TheOnly<MembersStopped>().members, ElementsAre(1, 2));
}

TEST_F(RecoveryTest, ARankThatKeepsTheOthersWaitingEndsAlone) {
  Build(3);
  run_.spec.hung_after = Duration::Seconds(5);
  run_.members.at(1).waiting = run_.members.at(3).waiting = true;
  now_ = now_ + Duration::Seconds(6);
  const auto stopped = TheOnly<MembersStopped>();
  EXPECT_THAT(stopped.members, ElementsAre(2));
  EXPECT_TRUE(stopped.kill);
  EXPECT_THAT(stopped.reason, HasSubstr("the others wait for rank 1"));
  run_.members.at(2).waiting = true;
  EXPECT_THAT(TheOnly<MembersStopped>().members, ElementsAre(1, 2, 3)) << "nobody is to be told";
}

TEST_F(RecoveryTest, ABrokenCollectiveWithoutADeathMakesTheSameRanksAnewAfterPatience) {
  Build(2);
  run_.broken_at = now_ - Duration::Millis(100);
  EXPECT_THAT(Decide(), IsEmpty());
  run_.broken_at = now_ - Duration::Seconds(1);
  const auto next = TheOnly<IncarnationDecided>();
  EXPECT_EQ(next.rung, Rung::kException);
  EXPECT_THAT(next.gang, ElementsAre(1, 2));
}

TEST_F(RecoveryTest, AProgramWithoutTheProtocolIsStoppedWholeAndStartedAnewAfterABackoff) {
  Build(3, false);
  Lose(2);
  EXPECT_THAT(TheOnly<MembersStopped>().members, ElementsAre(1, 3));
  Lose(1);
  Lose(3);
  run_.recoveries.back().fault_at = now_;
  run_.failures_without_progress = 3;
  EXPECT_EQ(TheOnly<RunWaits>().until, now_ + Duration::Seconds(2));
}

TEST_F(RecoveryTest, ACommandThatCannotStartFailsTheRunAtOnceWithItsWords) {
  Build(2, false);
  Lose(1, 127, 0);
  run_.members.at(1).exit_what = "cannot execute ./trainer";
  const auto finished = TheOnly<RunFinished>();
  EXPECT_EQ(finished.phase, Phase::kFailed);
  EXPECT_THAT(finished.reason, HasSubstr("cannot execute ./trainer"));
}

TEST_F(RecoveryTest, TooManyFailuresInARowFailTheRun) {
  Build(2);
  Lose(1);
  run_.failures_without_progress = run_.spec.failures_without_progress;
  EXPECT_EQ(TheOnly<RunFinished>().phase, Phase::kFailed);
}

TEST_F(RecoveryTest, TheRunSucceedsWhenAllRanksEndedWell) {
  Build(2);
  Lose(1, 0, 0);
  run_.phase = Phase::kRunning;
  EXPECT_THAT(Decide(), IsEmpty()) << "one is still saving";
  Lose(2, 0, 0);
  EXPECT_EQ(TheOnly<RunFinished>().phase, Phase::kSucceeded);
}

TEST_F(RecoveryTest, AFaultAfterSomeRanksEndedStartsTheGangAnew) {
  Build(3);
  Add(-1);
  Lose(1, 0, 0);
  Lose(2);
  EXPECT_THAT(TheOnly<MembersStopped>().members, ElementsAre(3));
}

TEST_F(RecoveryTest, AProcessThatNeverSaysHelloIsKilledWhereTheOthersDid) {
  Build(2);
  Add(-1, MemberPhase::kStarted).changed_at = now_;
  const auto progress = [&] {
    for (auto& [id, member] : run_.members) member.progress_at = now_;
  };
  now_ = now_ + config_.hello_within;
  progress();
  EXPECT_THAT(Decide(), IsEmpty());
  now_ = now_ + Duration::Seconds(1);
  EXPECT_THAT(TheOnly<MembersStopped>().members, ElementsAre(3));
  controller_started_ = now_ - Duration::Seconds(4);  // this controller has only begun to listen
  EXPECT_THAT(Decide(), IsEmpty());
  controller_started_ = Time{};
  run_.members.at(3).killing = run_.members.at(3).stopping = true;
  EXPECT_THAT(Decide(), IsEmpty());
  run_.members.at(3).killing = run_.members.at(3).stopping = false;
  run_.speaks_protocol = false;  // then a hello is not to be expected
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(RecoveryTest, AGroupThatNeverFormsLosesTheRanksThatDidNotJoin) {
  Build(3);
  run_.phase = Phase::kRecovering;
  run_.spec.hung_after = Duration::Seconds(5);
  run_.incarnation = 2;
  run_.decided_at = now_;
  run_.members.at(1).joined = run_.members.at(3).joined = 2;
  now_ = now_ + Duration::Seconds(5);
  EXPECT_THAT(Decide(), IsEmpty());
  now_ = now_ + Duration::Seconds(1);
  EXPECT_THAT(TheOnly<MembersStopped>().members, ElementsAre(2));
}

TEST_F(RecoveryTest, WhereNobodyJoinedTheRankThatDidNotSeeTheGroupBreakIsSuspect) {
  Build(3);
  run_.phase = Phase::kRecovering;
  run_.spec.hung_after = Duration::Seconds(5);
  run_.incarnation = 2;
  for (auto& [id, member] : run_.members) {
    member.has_state = true;
    member.broken = id == 3 ? 0 : 1;
  }
  now_ = now_ + Duration::Seconds(6);
  EXPECT_THAT(TheOnly<MembersStopped>().members, ElementsAre(3));
  for (auto& [id, member] : run_.members) member.broken = 1;
  EXPECT_THAT(TheOnly<MembersStopped>().members, ElementsAre(1, 2, 3));
}

TEST_F(RecoveryTest, ANewControllerCountsASilenceFromItsOwnStart) {
  Build(2);
  run_.spec.hung_after = Duration::Seconds(5);
  run_.step_seconds = 0.1;
  now_ = now_ + Duration::Seconds(60);
  EXPECT_THAT(TheOnly<MembersStopped>().members, ElementsAre(1, 2));
  controller_started_ = now_ - Duration::Seconds(4);
  EXPECT_THAT(Decide(), IsEmpty());
}

TEST_F(RecoveryTest, AHungGangIsEndedAsFarAsItLives) {
  Build(2);
  Lose(1, 0, 0);
  run_.phase = Phase::kRunning;
  run_.spec.hung_after = Duration::Seconds(5);
  now_ = now_ + Duration::Seconds(60);
  EXPECT_THAT(TheOnly<MembersStopped>().members, ElementsAre(2));
}

TEST_F(RecoveryTest, ARunWhoseRanksEndedWellBeforeItGrewHasSucceeded) {
  Build(3);
  run_.phase = Phase::kRecovering;
  run_.rung = Rung::kGrow;
  run_.incarnation = 2;
  run_.members.at(1).has_state = run_.members.at(2).has_state = true;
  Lose(1, 0, 0);
  run_.recoveries.clear();
  EXPECT_EQ(TheOnly<MembersStopped>().reason, "a rank ended before the gang was whole again");
  Lose(2, 0, 0);
  EXPECT_EQ(TheOnly<RunFinished>().phase, Phase::kSucceeded);
}

TEST_F(RecoveryTest, ACancelledRunIsStoppedThenOver) {
  Build(2);
  run_.cancel_requested = true;
  EXPECT_FALSE(TheOnly<MembersStopped>().kill);
  for (auto& [id, member] : run_.members) member.stopping = true;
  EXPECT_THAT(Decide(), IsEmpty());
  Lose(1);
  Lose(2);
  EXPECT_EQ(TheOnly<RunFinished>().phase, Phase::kCancelled);
}

TEST(BackoffTest, DoublesUpToItsBound) {
  const Config config;
  EXPECT_EQ(Backoff(config, 1), Duration());
  EXPECT_EQ(Backoff(config, 2), Duration::Seconds(1));
  EXPECT_EQ(Backoff(config, 4), Duration::Seconds(4));
  EXPECT_EQ(Backoff(config, 50), Duration::Minutes(1));
}

}  // namespace
}  // namespace longrun::recovery
