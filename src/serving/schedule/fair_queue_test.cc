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
