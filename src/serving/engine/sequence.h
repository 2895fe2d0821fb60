// A request under way and its sequences: one for each choice, a single one until the prompt is
// computed. Owned by EngineCore, on its thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/time.h"
#include "serving/cache/block_pool.h"
#include "serving/grammar/constraint.h"
#include "serving/request.h"
#include "serving/sample/sampler.h"
#include "serving/sample/text_stream.h"
#include "serving/schedule/job.h"

namespace longrun::serving {

// A request that was found possible, with its constraint compiled.
struct Submission {
  GenerationRequest request;
  OnDelta on_delta;
  std::shared_ptr<const Constraint> constraint;  // null: any text
  Time arrived;
};

struct Progress;

// known = tokens.size() between steps; within one, drafts stand behind the known ones.
struct Sequence : Job {
  Progress* progress = nullptr;
  std::vector<TokenId> tokens;  // prompt and generated
  BlockTable table;
  std::vector<TokenId> draft_tokens;
  std::vector<std::byte> swapped;  // the keys and values of the first `held` tokens
  // From the first token on:
  std::optional<Sampler> sampler;
  std::optional<TextStream> text;
  absl::StatusOr<std::vector<Sampled>> drawn;  // in the step under way
  Time last_token;
  int64_t mask_wanted = 0;  // while it awaits one: since which step

  // Where its text stands; null where any token may follow, or nobody has looked yet.
  inline ConstraintState* constraint();
};

struct Progress {
  Submission submission;
  int64_t number = 0;
  std::vector<std::unique_ptr<Sequence>> sequences;  // by choice
  std::vector<FinishReason> finish;                  // of each choice
  int64_t unfinished = 0;
  bool admitted = false;                   // once
  bool forked = false;                     // the prompt is computed
  std::unique_ptr<ConstraintState> start;  // until then: before the first token
  Time started, first_token;
  Usage usage;
  std::vector<Logprobs> prompt_logprobs;  // of the first tokens
  std::vector<double> state_sum;          // [d_model], of the first `states` tokens
  int64_t states = 0;

  const GenerationRequest& request() const { return submission.request; }
  bool done() const { return unfinished == 0; }
};

ConstraintState* Sequence::constraint() {
  return sampler ? sampler->constraint() : progress->start.get();
}

}  // namespace longrun::serving
