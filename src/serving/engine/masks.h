// The masks of choices whose format is constrained, made before a step is planned: each step takes
// a bounded effort, shared out between tenants (serving/schedule/mask_turns.h), and whoever's mask
// is not ready then sits the step out. A mask follows from the text alone, so nobody's tokens
// depend on when it was made. Owned by EngineCore, on its thread.
#pragma once

#include <cstdint>
#include <vector>

#include "serving/engine/sequence.h"
#include "serving/execute/executor.h"
#include "serving/schedule/fair_queue.h"
#include "serving/schedule/mask_turns.h"

namespace longrun::serving {

class Masks {
 public:
  // `effort` of each step; the executor outlives it.
  Masks(int64_t effort, Executor* executor) : effort_(effort), executor_(*executor) {}

  // Works on what is wanted by those that run, and after them by those that may be admitted next.
  // Their tenants are charged for it.
  void Prepare(const std::vector<Job*>& running, FairQueue* queue);

 private:
  struct Wanted {
    Sequence* sequence;
    int64_t effort, paid;  // in the round under way
  };
  void Want(Job* job);
  bool Round(MaskTurns* turns, FairQueue* queue);

  const int64_t effort_;
  Executor& executor_;
  int64_t steps_ = 0;
  std::vector<Wanted> wanted_;  // of the step under way
};

}  // namespace longrun::serving
