// What runs in the next step: one budget of tokens over decoding and prompts (continuous batching,
// chunked prefill).
//
//   1. Every sequence that decodes gets its one token, the best claim (priority, age) first; but
//   whoever awaits a mask (mask_turns.h) sits out what the token would be chosen after.
//   2. Where few decode and nobody waits for a prompt, drafts are tried within the budget.
//   3. Prompts under way get what is left, the best claim first.
//   4. Who waits is admitted, in the queue's order, while the blocks for the whole prompt are
//   there.
//
// Whoever sits out holds no place against others: it makes way for who waits, where its tenant was
// served more.
//
// Where a sequence of 1 or 3 lacks a block, the sequence with the worst claim is preempted, and so
// on, until the block is there or the sequence itself has the worst claim. So the best claim always
// goes forward, and since each request alone fits into the cache, each one ends.
//
// The policy reads no clock and touches no block: what it decides is done through Blocks, whose
// answers (is there room?) it needs on the way.
#pragma once

#include <cstdint>
#include <vector>

#include "serving/schedule/fair_queue.h"
#include "serving/schedule/job.h"

namespace longrun::serving {

struct StepLimits {
  int64_t tokens = 0;        // the budget (TokenBudget)
  int64_t logits = 0;        // rows, at most
  int64_t sequences = 0;     // that run at once
  int64_t draft_batch = 0;   // drafts are tried where at most so many decode
  int64_t spare_blocks = 0;  // that an admission must leave for those that run to grow into
};

struct Share {
  Job* job = nullptr;
  int64_t tokens = 0;  // known ones to compute, from job->computed, and then drafts
  int64_t drafts = 0;  // of them
};

// What planning needs done to blocks while it decides.
class Blocks {
 public:
  virtual ~Blocks() = default;
  // Room for the job's next `tokens` tokens, its own to write; false, and nothing changed, if none.
  virtual bool Reserve(Job* job, int64_t tokens) = 0;
  // Takes the job's blocks away; it goes back to the queue.
  virtual void Preempt(Job* job) = 0;

  struct Demand {
    bool later = false;  // another sequence is computing what this one can share, or the like
    int64_t blocks = 0;  // that its known tokens take from those available
  };
  virtual Demand Look(const Job& job) = 0;
  // Gives the job what the cache or the host holds for it: job->computed grows.
  virtual void Admit(Job* job) = 0;
  virtual int64_t Available() const = 0;
  // Blocks that the known tokens of a running job will still take.
  virtual int64_t Lacking(const Job& job) const = 0;
};

struct StepPlan {
  std::vector<Share> shares;
  std::vector<Job*> admitted;
  int64_t tokens = 0, logits = 0;
};

// `running` in order of claim. Those preempted have left `running` when it returns, those admitted
// have not joined it.
void PlanStep(const StepLimits& limits, std::vector<Job*>* running, FairQueue* queue,
              Blocks* blocks, StepPlan* plan);

// The budget of a step from measured times.
struct LatencyGoals {
  double time_to_first_token_seconds = 2;
  double inter_token_seconds = 0.2;
};
// While sequences decode, a step may take as long as a token may; else half as long as a first
// token may, since who comes in its midst waits for its end. Until steps were measured, 512. Never
// less than what decodes and `least_prompt` more, or prompts would never be read; never more than
// `most`.
class StepTimes;
int64_t TokenBudget(const StepTimes& times, const LatencyGoals& goals, int64_t decoding,
                    int64_t least_prompt, int64_t most);

}  // namespace longrun::serving
