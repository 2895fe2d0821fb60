// The suite that every engine passes: what engine.h promises, as tests.
//
// An engine's test gives a ContractWorld and instantiates the suite once:
//
//   INSTANTIATE_TEST_SUITE_P(Simulated, EngineContract, testing::Values(&MakeSimulatedWorld));
//
// Included by one test file per binary.
#pragma once

#include "engine/contract_world.h"

namespace longrun::engine {

// ---- starting ----

TEST_P(EngineContract, NodesJoinWithTheirAccelerators) {
  for (const fleet::Event& event : events_) {
    const auto* joined = std::get_if<fleet::NodeJoined>(&event.body);
    if (joined == nullptr) continue;
    EXPECT_GE(joined->accelerators, 4);
    EXPECT_GT(joined->session, 0u);
    EXPECT_FALSE(joined->address.empty());
    EXPECT_EQ(event.source.seq, 1u);
  }
}

TEST_P(EngineContract, StartsAMemberOnceHoweverOftenItIsWished) {
  Want(Spec({.kind = Behaviour::Kind::kSleep}), 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberStarted>(1));
  EXPECT_GT(Told<fleet::MemberStarted>(1)->pid, 0);
  for (int i = 0; i < 3; ++i) {
    world_->engine().Apply(desired_[node()]);
    Wish();
    ObserveFor(Duration::Millis(100));
  }
  EXPECT_EQ(StartsOf(1), 1);
  EXPECT_EQ(world_->Processes(node()), 1);
}

TEST_P(EngineContract, AMemberThatEndedIsNotStartedAgain) {
  Want(Spec({.kind = Behaviour::Kind::kExit}), 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberExited>(1));
  Wish();
  ObserveFor(Duration::Millis(300));
  EXPECT_EQ(StartsOf(1), 1);
}

TEST_P(EngineContract, HoldStartsNothing) {
  const fleet::RunSpec spec = Spec({.kind = Behaviour::Kind::kSleep});
  Want(spec, 1, Do::kHold);
  Wish();
  ObserveFor(Duration::Millis(500));
  EXPECT_EQ(StartsOf(1), 0);
  Want(spec, 1, Do::kRun);
  EXPECT_TRUE(WishUntilTold<fleet::MemberStarted>(1));
}

// ---- ends ----

TEST_P(EngineContract, TellsExitCodes) {
  const int codes[] = {0, 3, 78};
  for (int i = 0; i < 3; ++i) {
    const std::string run = "run-" + std::to_string(i);
    Want(Spec({.kind = Behaviour::Kind::kExit, .code = codes[i]}, run), 1, Do::kRun);
  }
  Wish();
  for (int i = 0; i < 3; ++i) {
    const std::string run = "run-" + std::to_string(i);
    ASSERT_TRUE(ObserveUntil([&] { return Told<fleet::MemberExited>(1, run) != nullptr; }));
    EXPECT_EQ(Told<fleet::MemberExited>(1, run)->code, codes[i]);
    EXPECT_EQ(Told<fleet::MemberExited>(1, run)->signal, 0);
  }
  EXPECT_EQ(world_->Processes(node()), 0);
}

TEST_P(EngineContract, TellsSignals) {
  Want(Spec({.kind = Behaviour::Kind::kSignal, .signal = 9}), 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberExited>(1));
  EXPECT_EQ(Told<fleet::MemberExited>(1)->signal, 9);
}

TEST_P(EngineContract, ACommandThatDoesNotExistExits127AndSaysWhy) {
  Want(Spec({.kind = Behaviour::Kind::kMissing}), 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberExited>(1));
  EXPECT_EQ(Told<fleet::MemberExited>(1)->code, 127);
  EXPECT_EQ(Told<fleet::MemberExited>(1)->signal, 0);
  EXPECT_FALSE(Told<fleet::MemberExited>(1)->what.empty());
}

TEST_P(EngineContract, StopEndsAMember) {
  const fleet::RunSpec spec = Spec({.kind = Behaviour::Kind::kSleep});
  Want(spec, 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberStarted>(1));
  ObserveFor(Duration::Millis(200));
  Want(spec, 1, Do::kStop);
  ASSERT_TRUE(WishUntilTold<fleet::MemberExited>(1));
  const auto* exited = Told<fleet::MemberExited>(1);
  EXPECT_TRUE(exited->signal == 15 || (exited->signal == 0 && exited->code == 0))
      << "code " << exited->code << ", signal " << exited->signal;
  EXPECT_EQ(world_->Processes(node()), 0);
}

TEST_P(EngineContract, StopKillsWhatDoesNotEndWithinItsGrace) {
  const fleet::RunSpec spec = Spec({.kind = Behaviour::Kind::kIgnoreStop});
  Want(spec, 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberStarted>(1));
  ObserveFor(Duration::Millis(300));
  Want(spec, 1, Do::kStop);
  ASSERT_TRUE(WishUntilTold<fleet::MemberExited>(1));
  EXPECT_EQ(Told<fleet::MemberExited>(1)->signal, 9);
  EXPECT_EQ(world_->Processes(node()), 0);
}

TEST_P(EngineContract, KillEndsAMemberAtOnce) {
  const fleet::RunSpec spec = Spec({.kind = Behaviour::Kind::kIgnoreStop});
  Want(spec, 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberStarted>(1));
  Want(spec, 1, Do::kKill);
  ASSERT_TRUE(WishUntilTold<fleet::MemberExited>(1));
  EXPECT_EQ(Told<fleet::MemberExited>(1)->signal, 9);
  EXPECT_EQ(world_->Processes(node()), 0);
}

// Otherwise its slots would stay taken for ever.
TEST_P(EngineContract, AMemberStoppedBeforeItsStartIsToldGoneAndNeverStarts) {
  const fleet::RunSpec spec = Spec({.kind = Behaviour::Kind::kSleep});
  Want(spec, 1, Do::kStop);
  Want(spec, 2, Do::kKill);
  Wish();
  ASSERT_TRUE(WaitFor<fleet::MemberExited>(1));
  ASSERT_TRUE(WaitFor<fleet::MemberExited>(2));
  Want(spec, 1, Do::kRun);
  Want(spec, 2, Do::kRun);
  Wish();
  ObserveFor(Duration::Millis(300));
  EXPECT_EQ(StartsOf(1), 0);
  EXPECT_EQ(StartsOf(2), 0);
}

TEST_P(EngineContract, WhatIsNotWishedAnyMoreIsEnded) {
  Want(Spec({.kind = Behaviour::Kind::kIgnoreStop}), 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberStarted>(1));
  desired_[node()] = Empty(node());
  ASSERT_TRUE(WishUntilTold<fleet::MemberExited>(1));
  EXPECT_EQ(world_->Processes(node()), 0);
}

// ---- order ----

TEST_P(EngineContract, AnOlderRevisionIsIgnored) {
  const fleet::RunSpec spec = Spec({.kind = Behaviour::Kind::kSleep});
  Want(spec, 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberStarted>(1));
  fleet::NodeDesired older = Empty(node());
  older.revision = revision_ - 1;
  world_->engine().Apply(older);
  ObserveFor(Duration::Millis(500));
  EXPECT_EQ(world_->Processes(node()), 1);
  EXPECT_EQ(Told<fleet::MemberExited>(1), nullptr);
}

TEST_P(EngineContract, AWishForAnotherSessionIsIgnored) {
  Want(Spec({.kind = Behaviour::Kind::kSleep}), 1, Do::kRun);
  desired_[node()].session = sessions_[node()] + 1;
  Wish();
  desired_[node()].session = sessions_[node()] - 1;
  Wish();
  ObserveFor(Duration::Millis(500));
  EXPECT_EQ(StartsOf(1), 0);
  desired_[node()].session = sessions_[node()];
  EXPECT_TRUE(WishUntilTold<fleet::MemberStarted>(1));
}

// ---- facts and controllers ----

TEST_P(EngineContract, FactsAreToldToTheNextControllerUntilAcknowledged) {
  acknowledge_ = false;
  Want(Spec({.kind = Behaviour::Kind::kExit, .code = 5}), 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberExited>(1));
  const auto first = newest_;
  events_.clear();
  told_.clear();
  newest_.clear();
  // Nothing was acknowledged but what SetUp took: the newer facts come again, with the same
  // numbers.
  for (const auto& [key, seq] : first) newest_[key] = 1;
  world_->RestartController();
  world_->engine().Expect({Known(nodes_[0], true), Known(nodes_[1], true)});
  ASSERT_TRUE(WaitFor<fleet::MemberExited>(1));
  EXPECT_EQ(Told<fleet::MemberExited>(1)->code, 5);
  const uint64_t session = sessions_[node()];
  const uint64_t newest = newest_[std::make_pair(node(), session)];
  EXPECT_EQ(newest, first.at({node(), session}));

  world_->engine().Acknowledge(node(), session, newest);
  ObserveFor(Duration::Millis(500));
  events_.clear();
  told_.clear();
  world_->RestartController();
  world_->engine().Expect({Known(nodes_[0], true), Known(nodes_[1], true)});
  ObserveFor(Duration::Seconds(1));
  EXPECT_EQ(Told<fleet::MemberExited>(1), nullptr) << "told again though acknowledged";
}

TEST_P(EngineContract, MembersLiveOnWithoutAController) {
  Want(Spec({.kind = Behaviour::Kind::kSleep}), 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberStarted>(1));
  world_->RestartController();
  world_->engine().Expect({Known(nodes_[0], true), Known(nodes_[1], true)});
  ObserveFor(Duration::Millis(500));
  EXPECT_EQ(world_->Processes(node()), 1);
  EXPECT_EQ(Told<fleet::MemberExited>(1), nullptr);
  // And obey the new one.
  Want(Spec({.kind = Behaviour::Kind::kSleep}), 1, Do::kKill);
  EXPECT_TRUE(WishUntilTold<fleet::MemberExited>(1));
}

TEST_P(EngineContract, ANodeThatDiesIsToldLostAndComesBackAsAnotherSession) {
  Want(Spec({.kind = Behaviour::Kind::kSleep}), 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberStarted>(1));
  const uint64_t session = sessions_[node()];
  world_->KillNode(node());
  ASSERT_TRUE(ObserveUntil([&] { return lost_.contains(node()); }));
  EXPECT_EQ(lost_[node()], session);
  EXPECT_EQ(world_->Processes(node()), 0);
  EXPECT_FALSE(lost_.contains(nodes_[1]));
  world_->ReviveNode(node());
  ASSERT_TRUE(ObserveUntil([&] { return sessions_[node()] > session; }));
  EXPECT_EQ(world_->Processes(node()), 0);
}

TEST_P(EngineContract, AnExpectedNodeThatDoesNotShowUpIsToldLost) {
  world_->RestartController();
  fleet::Node ghost;
  ghost.id = fleet::NodeId("ghost");
  ghost.session = 7;
  ghost.up = true;
  world_->engine().Expect({Known(nodes_[0], true), Known(nodes_[1], true), ghost});
  ASSERT_TRUE(ObserveUntil([&] { return lost_.contains(ghost.id); }));
  EXPECT_EQ(lost_[ghost.id], 7u);
  EXPECT_FALSE(lost_.contains(nodes_[0]));
  EXPECT_FALSE(lost_.contains(nodes_[1]));
}

// A session that the journal has given up is over, for good: what is left of it is ended before the
// node joins anew.
TEST_P(EngineContract, ASessionThatWasGivenUpComesBackEmptyAndAnew) {
  Want(Spec({.kind = Behaviour::Kind::kIgnoreStop}), 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberStarted>(1));
  const uint64_t session = sessions_[node()];
  world_->RestartController();
  world_->engine().Expect({Known(nodes_[0], false), Known(nodes_[1], true)});
  ASSERT_TRUE(ObserveUntil([&] { return sessions_[node()] > session; }));
  EXPECT_EQ(world_->Processes(node()), 0);
}

TEST_P(EngineContract, WakeEndsTheWaitInObserve) {
  ObserveFor(Duration::Millis(300));
  const Time before = world_->Now();
  world_->engine().Wake();
  world_->engine().Observe(Duration::Seconds(20));
  EXPECT_LT((world_->Now() - before).us, Duration::Seconds(10).us);
}

// ---- memberships ----

TEST_P(EngineContract, AMembershipReachesRanksAndSparesOnEveryNode) {
  const fleet::RunSpec spec = Spec({.kind = Behaviour::Kind::kRank});
  Want(spec, 1, Do::kRun, 0);
  Want(spec, 2, Do::kRun, 1);
  Want(spec, 3, Do::kRun, 1).rank = -1;
  Wish(0);
  Wish(1);
  for (const fleet::MemberId m : {1, 2, 3}) ASSERT_TRUE(WaitFor<fleet::MemberReady>(m));
  fleet::DesiredMembership membership;
  membership.run = spec.name;
  membership.incarnation = 1;
  membership.members = {1, 2};
  for (const fleet::MemberId m : {1, 2}) {
    membership.endpoints.push_back(Told<fleet::MemberReady>(m)->endpoint);
  }
  membership.full = 2;
  for (const size_t n : {0, 1}) {
    desired_[nodes_[n]].memberships = {membership};
    Wish(n);
  }
  for (const fleet::MemberId m : {1, 2}) {
    ASSERT_TRUE(WaitFor<fleet::MemberJoined>(m));
    EXPECT_EQ(Told<fleet::MemberJoined>(m)->incarnation, 1u);
  }
  ASSERT_TRUE(WaitFor<fleet::MemberSaid>(3));
  EXPECT_EQ(Told<fleet::MemberJoined>(3), nullptr);

  // The next one takes the spare in and leaves out the first; an old one told late is no news.
  events_.clear();
  membership.incarnation = 2;
  membership.members = {3, 2};
  for (const size_t n : {0, 1}) {
    desired_[nodes_[n]].memberships = {membership};
    Wish(n);
  }
  for (const fleet::MemberId m : {2, 3}) {
    ASSERT_TRUE(WaitFor<fleet::MemberJoined>(m));
    EXPECT_EQ(Told<fleet::MemberJoined>(m)->incarnation, 2u);
  }
  EXPECT_TRUE(WaitFor<fleet::MemberSaid>(1));
}

TEST_P(EngineContract, AMembershipReachesAMemberThatBecomesReadyLater) {
  const fleet::RunSpec quick = Spec({.kind = Behaviour::Kind::kRank});
  Want(quick, 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberReady>(1));
  fleet::DesiredMembership membership;
  membership.run = quick.name;
  membership.incarnation = 4;
  membership.members = {1};
  membership.endpoints = {Told<fleet::MemberReady>(1)->endpoint};
  membership.full = 1;
  desired_[node()].memberships = {membership};
  Want(quick, 2, Do::kRun).rank = -1;
  ASSERT_TRUE(WishUntilTold<fleet::MemberReady>(2));
  EXPECT_TRUE(WaitFor<fleet::MemberSaid>(2)) << "the later one did not hear of the membership";
  EXPECT_TRUE(WaitFor<fleet::MemberJoined>(1));
}

TEST_P(EngineContract, ARankToldToStopEndsCleanly) {
  const fleet::RunSpec spec = Spec({.kind = Behaviour::Kind::kRank});
  Want(spec, 1, Do::kRun);
  ASSERT_TRUE(WishUntilTold<fleet::MemberReady>(1));
  Want(spec, 1, Do::kStop);
  ASSERT_TRUE(WishUntilTold<fleet::MemberExited>(1));
  EXPECT_EQ(Told<fleet::MemberExited>(1)->code, 0);
  EXPECT_EQ(Told<fleet::MemberExited>(1)->signal, 0);
}

// ---- faults on purpose ----

TEST_P(EngineContract, InjectedFaultsAreToldAsFacts) {
  const fleet::RunSpec spec = Spec({.kind = Behaviour::Kind::kRank});
  for (const fleet::MemberId m : {1, 2}) Want(spec, m, Do::kRun);
  Wish();
  for (const fleet::MemberId m : {1, 2}) ASSERT_TRUE(WaitFor<fleet::MemberReady>(m));
  Fault fault;
  fault.kind = Fault::Kind::kKillMember;
  fault.run = spec.name;
  fault.member = 1;
  fault.node = node();
  ASSERT_TRUE(world_->engine().Inject(fault).ok());
  ASSERT_TRUE(WaitFor<fleet::MemberExited>(1));
  EXPECT_EQ(Told<fleet::MemberExited>(1)->signal, 9);
  fault.kind = Fault::Kind::kHangMember;
  fault.member = 2;
  ASSERT_TRUE(world_->engine().Inject(fault).ok());
  ASSERT_TRUE(WaitFor<fleet::MemberSilent>(2));
  EXPECT_EQ(Told<fleet::MemberExited>(2), nullptr);
  // A process that is stopped ends all the same when it is to be killed.
  Want(spec, 2, Do::kKill);
  EXPECT_TRUE(WishUntilTold<fleet::MemberExited>(2));

  fault.kind = Fault::Kind::kKillNode;
  fault.node = nodes_[1];
  ASSERT_TRUE(world_->engine().Inject(fault).ok());
  EXPECT_TRUE(ObserveUntil([&] { return lost_.contains(nodes_[1]); }));
  fault.node = fleet::NodeId("nowhere");
  EXPECT_FALSE(world_->engine().Inject(fault).ok());
}

}  // namespace longrun::engine
