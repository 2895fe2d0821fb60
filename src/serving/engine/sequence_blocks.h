// What planning decides, done to the blocks of sequences: reserved, preempted (swapped out or to be
// computed again), given back what the cache holds. Owned by EngineCore, on its thread.
#pragma once

#include <functional>
#include <vector>

#include "serving/cache/block_pool.h"
#include "serving/engine/sequence.h"
#include "serving/execute/executor.h"
#include "serving/schedule/fair_queue.h"
#include "serving/schedule/step_plan.h"
#include "serving/schedule/step_times.h"
#include "serving/schedule/wait.h"

namespace longrun::serving {

class SequenceBlocks final : public Blocks {
 public:
  struct Config {
    bool share_prefixes = true;
    int64_t swap_bytes = 0;   // host memory for swapped sequences
    int64_t block_bytes = 0;  // of one block
  };
  // All outlive it.
  SequenceBlocks(const Config& config, BlockPool* pool, Executor* executor, FairQueue* queue,
                 const StepTimes* times, const std::function<Time()>* clock)
      : config_(config),
        pool_(*pool),
        executor_(*executor),
        queue_(*queue),
        times_(*times),
        clock_(*clock) {}

  bool Reserve(Job* job, int64_t tokens) override;
  void Preempt(Job* job) override;
  Demand Look(const Job& job) override;
  void Admit(Job* job) override;
  int64_t Available() const override { return pool_.available(); }
  int64_t Lacking(const Job& job) const override;

  // The step succeeded: what the sequence has computed may be found, refused drafts' blocks return.
  void Settle(Sequence* sequence);
  // Blocks and swapped bytes.
  void Release(Sequence* sequence);

  // Those of the step that was planned, in the order in which they must be made.
  void TakeCopies(std::vector<BlockCopy>* copies);

  int64_t preemptions() const { return preemptions_; }
  int64_t swaps() const { return swaps_; }
  int64_t hit_queries() const { return hit_queries_; }
  int64_t hits() const { return hits_; }

 private:
  struct PendingCopy {
    const Sequence* sequence;
    BlockCopy copy;
  };
  static bool Sharing(const Sequence& s);
  bool SwapOut(Sequence* s);
  bool SwapIn(Sequence* s);
  void ForgetSwapped(Sequence* s);
  int64_t HitLimit(const Sequence& s) const;

  Config config_;
  BlockPool& pool_;
  Executor& executor_;
  FairQueue& queue_;
  const StepTimes& times_;
  const std::function<Time()>& clock_;
  std::vector<PendingCopy> copies_;
  std::vector<BlockCopy> made_;
  Rate swap_rate_;  // bytes
  int64_t swapped_bytes_ = 0;
  int64_t preemptions_ = 0, swaps_ = 0, hit_queries_ = 0, hits_ = 0;
};

}  // namespace longrun::serving
