#include "serving/schedule/fair_queue.h"

#include <vector>

#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

Job MakeJob(int64_t request, int32_t tenant, int32_t priority = 0) {
  Job job;
  job.request = request;
  job.tenant = tenant;
  job.priority = priority;
  job.known = 10;
  return job;
}

std::vector<int64_t> Order(FairQueue* queue, double charge = 0) {
  std::vector<int64_t> order;
  queue->Begin();
  while (Job* job = queue->Front()) {
    queue->Take();
    queue->Charge(job->tenant, charge);
    order.push_back(job->request);
  }
  return order;
}

// Of each line.
std::vector<int64_t> Tokens(const FairQueue& queue) {
  std::vector<int64_t> tokens;
  queue.ForEachLine([&](const FairQueue::Line& line) { tokens.push_back(line.tokens); });
  return tokens;
}

TEST(FairQueue, TenantsTakeTurnsWhateverTheirNumberOfRequests) {
  std::vector<Job> jobs;
  for (int i = 0; i < 4; ++i) jobs.push_back(MakeJob(i, 1));
  for (int i = 4; i < 6; ++i) jobs.push_back(MakeJob(i, 2));
  FairQueue queue;
  for (Job& job : jobs) queue.Arrive(&job);
  EXPECT_EQ(Tokens(queue), (std::vector<int64_t>{40, 20}));
  EXPECT_EQ(Order(&queue, 10), (std::vector<int64_t>{0, 4, 1, 5, 2, 3}));
  EXPECT_TRUE(Tokens(queue).empty());
}

TEST(FairQueue, PriorityComesBeforeFairness) {
  Job a = MakeJob(0, 1), b = MakeJob(1, 1, 5);
  FairQueue queue;
  queue.Charge(1, 1e6);
  queue.Arrive(&a);
  queue.Arrive(&b);
  EXPECT_EQ(Order(&queue), (std::vector<int64_t>{1, 0}));
}

TEST(ClaimOf, IsThePriorityUntilPatienceEnds) {
  const Duration patience = Duration::Seconds(30);
  EXPECT_EQ(ClaimOf(-3, Duration::Seconds(29.9), patience), -3);
  EXPECT_EQ(ClaimOf(-3, patience, patience), kTopClaim);
}

TEST(FairQueue, WhoWaitsTooLongGoesToTheTopAndTenantsTakeTurnsThere) {
  const Time start{1'000'000};
  const auto after = [start](double seconds) { return start + Duration::Seconds(seconds); };
  std::vector<Job> jobs = {MakeJob(0, 1),    MakeJob(1, 1),    MakeJob(2, 2, -1),
                           MakeJob(3, 1, 5), MakeJob(4, 3, 5), MakeJob(5, 2, -1)};
  FairQueue queue;
  for (Job& job : jobs) {
    job.waiting_since = after(static_cast<double>(job.request));
    queue.Arrive(&job);
  }
  const Duration patience = Duration::Seconds(10);
  queue.Age(after(9.9), patience, 0);
  EXPECT_EQ(jobs[0].priority, 0);
  jobs[5].waited =
      Duration::Seconds(9);  // before it was preempted; but it is not its line's oldest
  queue.Age(after(11.5), patience, 0);
  for (const size_t i : {0, 1}) EXPECT_EQ(jobs[i].priority, kTopClaim) << i;
  EXPECT_EQ(jobs[2].priority, -1);
  queue.Age(after(14), patience, 0);
  EXPECT_EQ(jobs[3].priority, kTopClaim);  // 5 is no longer the highest
  EXPECT_EQ(jobs[2].priority, kTopClaim);
  EXPECT_EQ(jobs[5].priority, kTopClaim);
  EXPECT_EQ(Order(&queue, 10), (std::vector<int64_t>{0, 2, 4, 1, 5, 3}));
}

TEST(FairQueue, WhereNothingIsHigherNobodyIsMovedUp) {
  Job a = MakeJob(0, 1), b = MakeJob(1, 2);
  FairQueue queue;
  queue.Arrive(&a);
  queue.Arrive(&b);
  queue.Charge(1, 10);
  queue.Age(Time{} + Duration::Hours(1), Duration::Seconds(1), 0);
  EXPECT_EQ(a.priority, 0);
  queue.Age(Time{} + Duration::Hours(1), Duration::Seconds(1), /*running=*/7);
  EXPECT_EQ(a.priority, kTopClaim);
  EXPECT_EQ(Order(&queue), (std::vector<int64_t>{1, 0}));
}

TEST(FairQueue, IdlenessEarnsNoCredit) {
  Job a = MakeJob(0, 1), b = MakeJob(1, 2);
  FairQueue queue;
  queue.Charge(1, 100);
  queue.Arrive(&a);
  EXPECT_EQ(queue.counter(1), 100);
  queue.Arrive(&b);  // came late: begins where those stand who wait
  EXPECT_EQ(queue.counter(2), 100);
}

TEST(FairQueue, WhatWasPreemptedGoesBeforeItsTenantsNewer) {
  Job old = MakeJob(0, 1), newer = MakeJob(1, 1);
  FairQueue queue;
  queue.Arrive(&newer);
  queue.Return(&old);
  EXPECT_EQ(Order(&queue), (std::vector<int64_t>{0, 1}));
}

TEST(FairQueue, SkippedOnesWaitOn) {
  Job a = MakeJob(0, 1), b = MakeJob(1, 1), c = MakeJob(2, 2);
  FairQueue queue;
  for (Job* job : {&a, &b, &c}) queue.Arrive(job);
  queue.Begin();
  EXPECT_EQ(queue.Front(), &a);
  queue.Skip();
  EXPECT_EQ(queue.Front(), &b);
  queue.Take();
  EXPECT_EQ(queue.Front(), &c);
  queue.Skip();
  EXPECT_EQ(queue.Front(), nullptr);
  EXPECT_EQ(queue.size(), 2);
  EXPECT_TRUE(queue.Remove(&a));
  EXPECT_FALSE(queue.Remove(&a));
  EXPECT_EQ(Order(&queue), (std::vector<int64_t>{2}));
}

}  // namespace
}  // namespace longrun::serving
