// The engine without its thread: requests in, one step at a time, deltas out. It owns the blocks,
// the queue and the sequences; the executor, the tokenizer and the compiler are handed in and
// outlive it. Time comes from a clock that is handed in: the machine's, or a virtual one that the
// executor of a simulation moves on.
//
// Check, Prepare and RefusalFor may be called from any thread. All else, deltas included, belongs
// to one thread at a time. A delta's receiver may call Cancel and nothing else.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/time.h"
#include "serving/cache/block_pool.h"
#include "serving/engine/engine_accounts.h"
#include "serving/engine/engine_config.h"
#include "serving/engine/masks.h"
#include "serving/engine/sequence.h"
#include "serving/engine/sequence_blocks.h"
#include "serving/schedule/wait.h"

namespace longrun::serving {

// What a request is to those that come after it.
Waiting WaitingOf(const GenerationRequest& request);

class EngineCore {
 public:
  using Clock = std::function<Time()>;

  // `config` is valid and the executor's cache allocated.
  EngineCore(const EngineConfig& config, Executor* executor, const model::Tokenizer* tokenizer,
             ConstraintCompiler* compiler, const CacheSecret& secret, Clock clock);
  ~EngineCore();
  EngineCore(const EngineCore&) = delete;
  EngineCore& operator=(const EngineCore&) = delete;

  // Whether the request can be done at all.
  absl::Status Check(const GenerationRequest& request) const;
  // Of one that can: its constraint compiled.
  absl::StatusOr<Submission> Prepare(GenerationRequest request, OnDelta on_delta) const;
  // Whether such a newcomer would wait too long behind such a backlog.
  absl::Status RefusalFor(const Waiting& newcomer, const Backlog& backlog) const;

  // Takes a request up; `id` is not under way.
  void Submit(Submission submission);
  bool UnderWay(const std::string& id) const { return requests_.contains(id); }
  // Done when the next step begins, or by TakeCancels.
  void Cancel(const std::string& id) { cancels_.push_back(id); }
  void TakeCancels();
  void CancelAll();

  // Takes cancels, plans a step, runs it, samples, delivers. False where there was nothing to do.
  bool Step();

  bool idle() const { return requests_.empty(); }
  Backlog backlog() const;
  // Brought up to date by each call.
  const EngineStats& Stats() { return Stats(backlog()); }
  const EngineStats& Stats(const Backlog& backlog);  // that of this moment

  // For checkers.
  const BlockPool& pool() const { return pool_; }
  void ForEachTable(const std::function<void(const Progress&, const BlockTable&)>& visit) const;
  const FairQueue& queue() const { return queue_; }

 private:
  void Draft();
  void Plan();
  void BuildInput();
  void Join();
  void Execute(int64_t prompt_tokens);
  void Measure(int64_t prompt_tokens, double seconds);
  void Take(const Share& share, std::span<const float> logits, std::span<const float> states);
  void Fork(Sequence* first);
  void FinishPrompt(Sequence* sequence, Delta delta);
  void SampleAll(std::span<const float> logits);
  void Deliver(Sequence* sequence, absl::StatusOr<std::vector<Sampled>> sampled, int64_t drafts,
               Delta delta);
  void Emit(Sequence* sequence, Delta delta);
  void Finish(Progress* request, int64_t choice, Delta delta);
  void End(Progress* request, FinishReason reason, const absl::Status& error);
  void Leave(Sequence* sequence);
  void Sweep();
  int64_t Decoding() const;  // in the next step

  const EngineConfig config_;
  Executor& executor_;
  const model::Tokenizer& tokenizer_;
  ConstraintCompiler* compiler_;
  const Clock clock_;
  const int64_t vocab_size_;  // of the logits that mean a token

  BlockPool pool_;
  FairQueue queue_;
  StepTimes times_;
  SequenceBlocks blocks_;
  EngineAccounts accounts_;
  Masks masks_;
  Rate prompt_rate_, end_rate_;

  absl::flat_hash_map<std::string, std::unique_ptr<Progress>> requests_;
  int64_t next_number_ = 0;
  std::vector<Job*> running_;  // by claim
  std::vector<std::string> cancels_;
  std::vector<std::string> ended_;  // to be swept
  int64_t ended_sequences_ = 0;     // in this step, of those that went on after their prompts

  // Of the step under way; kept for their memory.
  StepPlan plan_;
  StepInput input_;
  struct DrawOf {
    Sequence* sequence;
    std::span<const float> logits;
    int64_t drafts;
  };
  std::vector<DrawOf> draws_;
  Time now_;
};

}  // namespace longrun::serving
