// Groups of several ranks within one process: gloo does not mind.
#include "training/gang.h"

#include <csignal>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "training/checkpoint_store.h"
#include "training/gradient_reducer.h"
#include "training/rendezvous.h"
#include "training/state_sync.h"

namespace longrun::training {
namespace {

class GangTest : public testing::Test {
 protected:
  GangTest() : server_(*RendezvousServer::Listen(0)), bell_(std::make_shared<Bell>()) {}

  GangSpec Spec(int64_t incarnation, int64_t rank, int64_t world) {
    GangSpec spec;
    spec.incarnation = incarnation;
    spec.rank = rank;
    spec.world = world;
    spec.store_host = "127.0.0.1";
    spec.store_port = server_->port();
    return spec;
  }
  std::vector<std::unique_ptr<Gang>> Make(int64_t incarnation, int64_t world) {
    std::vector<std::unique_ptr<Gang>> gangs;
    for (int64_t r = 0; r < world; ++r) {
      gangs.push_back(std::make_unique<Gang>(Spec(incarnation, r, world), bell_));
    }
    for (const auto& gang : gangs) {
      bell_->WaitUntil([&] { return gang->state() != Gang::State::kBuilding; });
      EXPECT_EQ(gang->state(), Gang::State::kReady) << gang->why();
    }
    return gangs;
  }
  Flight::State End(const FlightPtr& flight) {
    bell_->WaitUntil([&] { return flight->state() != Flight::State::kRunning; });
    return flight->state();
  }

  std::unique_ptr<RendezvousServer> server_;
  std::shared_ptr<Bell> bell_;
};

TEST_F(GangTest, SumsOverItsRanks) {
  auto gangs = Make(1, 3);
  std::vector<at::Tensor> tensors;
  std::vector<FlightPtr> flights;
  for (int64_t r = 0; r < 3; ++r) tensors.push_back(at::full({1000}, 1.0 + r));
  for (int64_t r = 0; r < 3; ++r) flights.push_back(gangs[r]->AllReduceSum(tensors[r]));
  for (int64_t r = 0; r < 3; ++r) {
    EXPECT_EQ(End(flights[r]), Flight::State::kDone) << flights[r]->why();
    EXPECT_TRUE(tensors[r].eq(6.0).all().item<bool>());
  }
}

TEST_F(GangTest, LeavingOneBreaksWhatIsUnderWayEverywhere) {
  auto gangs = Make(1, 4);
  std::vector<FlightPtr> flights;
  // Rank 0 never comes; the others wait, rank 2 without being its neighbour in the ring.
  for (int64_t r = 1; r < 4; ++r) flights.push_back(gangs[r]->AllReduceSum(at::zeros({100000})));
  const at::Tensor target = at::zeros({10});
  flights.push_back(gangs[3]->Receive(target, 0, 5));
  gangs[0]->Abandon();
  EXPECT_EQ(End(flights[3]), Flight::State::kFailed);
  // gloo's ring hands on from r + 1 to r: rank 3 waits for rank 0 and sees it leave. Rank 1 only
  // sends to rank 0, and may have done so before that one left; it knows of nothing until rank 2,
  // whom it waits for, leaves in its turn, as every rank does whose collective failed.
  for (int64_t r = 3; r >= 1; --r) {
    EXPECT_EQ(End(flights[r - 1]), Flight::State::kFailed) << "rank " << r;
    gangs[r]->Abandon();
  }
}

TEST_F(GangTest, LeavingEndsOnesOwnWaits) {
  auto gangs = Make(1, 2);
  const FlightPtr flight = gangs[0]->AllReduceSum(at::zeros({10}));
  gangs[0]->Abandon();  // while the peer stays, silent
  EXPECT_EQ(End(flight), Flight::State::kFailed);
  EXPECT_EQ(End(gangs[0]->AllReduceSum(at::zeros({10}))), Flight::State::kFailed);
}

TEST_F(GangTest, AGroupThatNeverFormsCanBeLeftAndTheNextOneForms) {
  Gang lonely(Spec(1, 0, 2), bell_);
  lonely.Abandon();
  bell_->WaitUntil([&] { return lonely.state() == Gang::State::kBroken; });
  for (int64_t incarnation = 2; incarnation < 5; ++incarnation) Make(incarnation, 2);
}

TEST_F(GangTest, ADeadRendezvousIsAnErrorNotAWait) {
  GangSpec spec = Spec(1, 1, 2);
  server_.reset();
  Gang gang(spec, bell_);
  bell_->WaitUntil([&] { return gang.state() != Gang::State::kBuilding; });
  EXPECT_EQ(gang.state(), Gang::State::kBroken);
  EXPECT_THAT(gang.why(), testing::HasSubstr("rank 0"));
}

TEST_F(GangTest, BucketsSumToTheWholeHoweverTheBackwardPassSlicesIt) {
  auto gangs = Make(1, 2);
  const int64_t size = 10007;
  std::vector<at::Tensor> local = {at::rand({size}), at::rand({size})};
  const at::Tensor expected = local[0] + local[1];
  GradientReducer a(size, 1000), b(size, 1000);
  a.Begin(gangs[0].get(), local[0]);
  b.Begin(gangs[1].get(), local[1]);
  for (int64_t begin = size - 777; begin > 0; begin -= 777) a.Ready(begin);
  a.Ready(0);
  b.Ready(0);  // all at once, as after a recovery
  EXPECT_EQ(a.flights().size(), 11u);
  for (GradientReducer* reducer : {&a, &b}) {
    for (const FlightPtr& flight : reducer->flights()) {
      EXPECT_EQ(End(flight), Flight::State::kDone);
    }
    EXPECT_TRUE(reducer->sum().equal(expected));
  }
  EXPECT_FALSE(local[0].equal(expected));  // what was computed is still there
}

// libtorch 2.x clones stores to ask from several threads.
TEST_F(GangTest, AClonedClientGoesOnWhereTheFirstWasInterrupted) {
  const auto first = c10::make_intrusive<RendezvousClient>("127.0.0.1", server_->port(),
                                                           std::chrono::milliseconds(10000));
  first->set("group/name", std::vector<uint8_t>{4, 2});
  const c10::intrusive_ptr<c10d::Store> second = first->clone();
  first->Interrupt();
  EXPECT_THROW(first->get("group/name"), std::runtime_error);
  EXPECT_THAT(second->get("group/name"), testing::ElementsAre(4, 2));
}

TEST(PlanSync, ThoseBehindAreServedByThoseAheadInTurn) {
  std::vector<SyncRow> rows(5);
  const int64_t steps[] = {7, 8, kNoState, 8, 0};
  for (int r = 0; r < 5; ++r) rows[r].step = steps[r];
  const auto plan = PlanSync(rows);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->step, 8);
  EXPECT_THAT(plan->source, testing::ElementsAre(1, -1, 3, -1, 1));
  EXPECT_FALSE(plan->broadcast);
}

TEST(PlanSync, OneAheadOfManyBroadcasts) {
  std::vector<SyncRow> rows(3);
  rows[1].step = 5;
  const auto plan = PlanSync(rows);
  ASSERT_TRUE(plan.ok());
  EXPECT_TRUE(plan->broadcast);
  EXPECT_THAT(plan->source, testing::ElementsAre(1, -1, 1));
}

TEST(PlanSync, OthersConfigurationsAreRefused) {
  std::vector<SyncRow> rows(3);
  rows[2].config_hash = 1;
  const auto plan = PlanSync(rows);
  EXPECT_TRUE(absl::IsInvalidArgument(plan.status()));
  EXPECT_THAT(std::string(plan.status().message()), testing::HasSubstr("rank 2"));
}

TEST(ShardRange, CoversAllOnceOnLineBorders) {
  for (const int64_t floats : {16, 100, 1000, 123456}) {
    for (int64_t world = 1; world < 9; ++world) {
      int64_t at = 0;
      for (int64_t rank = 0; rank < world; ++rank) {
        const auto [begin, end] = ShardRange(floats, rank, world);
        EXPECT_EQ(begin, at);
        EXPECT_TRUE(end % 16 == 0 || end == floats);
        at = end;
      }
      EXPECT_EQ(at, floats);
    }
  }
}

}  // namespace
}  // namespace longrun::training
