#include "serving/schedule/step_plan.h"

#include <algorithm>
#include <map>

#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

// Blocks of one token each, nothing shared.
class PlainBlocks final : public Blocks {
 public:
  PlainBlocks(int64_t free, FairQueue* queue) : free_(free), queue_(*queue) {}
  bool Reserve(Job* job, int64_t tokens) override {
    const int64_t need = job->computed + tokens - held_[job];
    if (need > free_) return false;
    free_ -= std::max<int64_t>(0, need);
    held_[job] += std::max<int64_t>(0, need);
    return true;
  }
  void Preempt(Job* job) override {
    free_ += held_[job];
    held_[job] = 0;
    job->computed = 0;
    preempted.push_back(job);
    queue_.Return(job);
  }
  Demand Look(const Job& job) override { return {.later = later == &job, .blocks = job.known}; }
  void Admit(Job*) override {}
  int64_t Available() const override { return free_; }
  int64_t Lacking(const Job& job) const override {
    const auto held = held_.find(&job);
    return std::max<int64_t>(0, job.known - (held == held_.end() ? 0 : held->second));
  }
  void Hold(Job* job) { held_[job] = job->computed; }

  std::vector<Job*> preempted;
  const Job* later = nullptr;

 private:
  int64_t free_;
  FairQueue& queue_;
  std::map<const Job*, int64_t> held_;
};

class StepPlanTest : public testing::Test {
 protected:
  Job MakeJob(int64_t known, int64_t computed, int32_t priority = 0) {
    Job job;
    job.request = next_++;
    job.known = known;
    job.computed = computed;
    job.generating = computed > 0 && known - computed == 1;
    job.priority = priority;
    return job;
  }
  StepPlan Plan(int64_t free, std::vector<Job*> running) {
    PlainBlocks blocks(free, &queue_);
    blocks.later = later_;
    for (Job* job : running) blocks.Hold(job);
    running_ = running;
    StepPlan plan;
    PlanStep(limits_, &running_, &queue_, &blocks, &plan);
    preempted_ = blocks.preempted;
    return plan;
  }
  static int64_t TokensOf(const StepPlan& plan, const Job& job) {
    for (const Share& share : plan.shares) {
      if (share.job == &job) return share.tokens;
    }
    return 0;
  }

  int64_t next_ = 0;
  StepLimits limits_{.tokens = 20, .logits = 10, .sequences = 4};
  FairQueue queue_;
  std::vector<Job*> running_, preempted_;
  const Job* later_ = nullptr;
};

TEST_F(StepPlanTest, DecodingComesFirstAndPromptsGetTheRest) {
  Job prompt = MakeJob(100, 10), decode = MakeJob(8, 7), waiting = MakeJob(30, 0);
  queue_.Arrive(&waiting);
  const StepPlan plan = Plan(1'000, {&prompt, &decode});
  EXPECT_EQ(TokensOf(plan, decode), 1);
  EXPECT_EQ(TokensOf(plan, prompt), 19);
  EXPECT_EQ(plan.tokens, 20);
  EXPECT_TRUE(plan.admitted.empty());
}

TEST_F(StepPlanTest, WhoeverFitsIsAdmitted) {
  Job first = MakeJob(5, 0), second = MakeJob(50, 0), third = MakeJob(5, 0);
  for (Job* job : {&first, &second, &third}) queue_.Arrive(job);
  const StepPlan plan = Plan(30, {});
  EXPECT_EQ(plan.admitted, (std::vector<Job*>{&first}));  // the second's prompt has no room, and
  EXPECT_EQ(queue_.size(), 2);                            // nobody overtakes it
}

TEST_F(StepPlanTest, WhoAwaitsAnothersPrefixIsPassedBy) {
  Job first = MakeJob(5, 0), second = MakeJob(6, 0);
  queue_.Arrive(&first);
  queue_.Arrive(&second);
  later_ = &first;
  EXPECT_EQ(Plan(30, {}).admitted, (std::vector<Job*>{&second}));
}

TEST_F(StepPlanTest, TheWorstClaimMakesWay) {
  Job old = MakeJob(8, 7), young = MakeJob(9, 8);
  const StepPlan plan = Plan(0, {&old, &young});
  EXPECT_EQ(TokensOf(plan, old), 1);
  EXPECT_EQ(preempted_, (std::vector<Job*>{&young}));
  EXPECT_EQ(running_, (std::vector<Job*>{&old}));
}

TEST_F(StepPlanTest, WhatWasPlannedForThePreemptedIsTakenBack) {
  Job prompt = MakeJob(100, 10, /*priority=*/1), decode = MakeJob(8, 7);
  const StepPlan plan = Plan(13, {&prompt, &decode});
  EXPECT_EQ(TokensOf(plan, decode), 0);
  EXPECT_EQ(plan.tokens, 19);
  EXPECT_EQ(plan.shares.size(), 1u);
}

TEST_F(StepPlanTest, PriorityTakesAPlaceAndEqualsDoNot) {
  limits_.sequences = 1;
  Job running = MakeJob(8, 7), equal = MakeJob(5, 0);
  queue_.Arrive(&equal);
  EXPECT_TRUE(Plan(100, {&running}).admitted.empty());
  Job urgent = MakeJob(5, 0, 3);
  queue_.Arrive(&urgent);
  EXPECT_EQ(Plan(100, {&running}).admitted, (std::vector<Job*>{&urgent}));
  EXPECT_EQ(preempted_, (std::vector<Job*>{&running}));
}

TEST_F(StepPlanTest, DraftsAreTriedWithinTheBudgetWhereFewDecode) {
  limits_.draft_batch = 2;
  Job a = MakeJob(8, 7), b = MakeJob(8, 7), c = MakeJob(8, 7);
  a.draft = b.draft = c.draft = 30;
  StepPlan plan = Plan(100, {&a, &b});
  EXPECT_EQ(plan.logits, 10);  // both, and no more rows than there are
  EXPECT_EQ(plan.shares.size(), 2u);
  plan = Plan(100, {&a, &b, &c});
  EXPECT_EQ(plan.tokens, 3);
}

TEST_F(StepPlanTest, APromptsLastTokenWaitsForARow) {
  limits_.logits = 2;
  Job a = MakeJob(8, 7), b = MakeJob(8, 7), prompt = MakeJob(10, 4);
  const StepPlan plan = Plan(100, {&a, &b, &prompt});
  EXPECT_EQ(TokensOf(plan, prompt), 5);
}

TEST_F(StepPlanTest, WhoAwaitsAMaskSitsOutWhatItsTokenWouldFollow) {
  limits_.draft_batch = 1;
  Job decode = MakeJob(8, 7), sits = MakeJob(8, 7), prompt = MakeJob(10, 4), last = MakeJob(5, 0);
  Job other = MakeJob(1, 0);
  decode.draft = 3;
  for (Job* job : {&sits, &prompt, &last, &other}) job->awaits_mask = true;
  StepPlan plan = Plan(100, {&decode, &sits});
  EXPECT_EQ(TokensOf(plan, decode), 4);  // it decodes alone
  EXPECT_EQ(TokensOf(plan, sits), 0);
  queue_.Arrive(&last);
  queue_.Arrive(&other);
  plan = Plan(100, {&decode, &prompt});
  EXPECT_EQ(TokensOf(plan, prompt), 5);
  EXPECT_EQ(TokensOf(plan, last), 4);
  EXPECT_EQ(plan.admitted, (std::vector<Job*>{&last, &other}));
  EXPECT_EQ(plan.shares.size(), 3u);
}

TEST_F(StepPlanTest, WhoSitsOutMakesWayForThoseWhoWereServedLess) {
  limits_.sequences = 2;
  Job a = MakeJob(8, 7), b = MakeJob(8, 7), waiting = MakeJob(5, 0);
  waiting.tenant = 1;
  b.awaits_mask = true;
  queue_.Arrive(&waiting);
  EXPECT_TRUE(Plan(100, {&a, &b}).admitted.empty());  // they were served alike
  queue_.Charge(0, 10);
  b.awaits_mask = false;
  EXPECT_TRUE(Plan(100, {&a, &b}).admitted.empty());
  b.awaits_mask = true;
  b.priority = 1;
  EXPECT_TRUE(Plan(100, {&b, &a}).admitted.empty());
  b.priority = 0;
  EXPECT_EQ(Plan(100, {&a, &b}).admitted, (std::vector<Job*>{&waiting}));
  EXPECT_EQ(preempted_, (std::vector<Job*>{&b}));
  EXPECT_EQ(running_, (std::vector<Job*>{&a}));
}

}  // namespace
}  // namespace longrun::serving
