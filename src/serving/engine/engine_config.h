// What an engine is told when it is made, and how one is made.
#pragma once

#include <memory>

#include "base/status.h"
#include "model/tokenizer.h"
#include "serving/engine/engine.h"
#include "serving/execute/executor.h"
#include "serving/grammar/constraint.h"
#include "serving/sample/draft.h"
#include "serving/schedule/step_plan.h"

namespace longrun::serving {

struct EngineConfig {
  // The cache: MemoryPlan says how many blocks there are.
  int64_t blocks = 0;
  int64_t block_tokens = 16;
  KvType kv_type = KvType::kF32;
  bool share_prefixes = true;

  // What a step may hold: MemoryPlan::activation_bytes is for these.
  int64_t max_sequences = 256;
  int64_t max_step_tokens = 2048;
  int64_t max_step_logits = 512;

  LatencyGoals goals;
  double max_wait_seconds = 30;  // who would wait longer is refused; who did goes first
  int64_t max_waiting = 4096;    // whatever the prediction, as MayWait says: memory is bounded

  // Of a step, for the masks of constrained output (mask_turns.h): a tenth of a token's goal.
  int64_t MaskEffort() const;

  DraftConfig draft;
  int64_t draft_batch = 4;  // drafts are tried where at most so many sequences decode

  // Preempted sequences that lie in host memory; 0: they are computed again.
  int64_t swap_bytes = 0;

  // A request that waits or runs, beside what its tokens take.
  static constexpr int64_t kBytesOfRequest = 6 << 10;
  // Of all that wait, as MayWait bounds them.
  int64_t WaitingBytes() const { return 2 * max_waiting * kBytesOfRequest; }

  absl::Status Validate() const;
};

// Allocates the executor's cache and starts the engine's thread. `compiler` may be null:
// constrained formats are refused then. All outlive the engine.
absl::StatusOr<std::unique_ptr<Engine>> MakeEngine(const EngineConfig& config, Executor* executor,
                                                   const model::Tokenizer* tokenizer,
                                                   ConstraintCompiler* compiler);

}  // namespace longrun::serving
