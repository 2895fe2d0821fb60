// EngineCore after a step: its results to choices, deltas and ends.
#include <algorithm>

#include "base/check.h"
#include "serving/engine/choice.h"
#include "serving/engine/engine_core.h"

namespace longrun::serving {

// `logits` [the slice's logits, vocab], `states` [the slice's tokens or none, d_model].
void EngineCore::Take(const Share& share, std::span<const float> logits,
                      std::span<const float> states) {
  Sequence* s = static_cast<Sequence*>(share.job);
  Progress* request = s->progress;
  if (request->done()) return;
  const int64_t stride = executor_.shape().vocab_size;
  const int64_t first = s->computed;
  s->computed += share.tokens - share.drafts;
  if (s->all_logits) EchoLogprobs(request, first, logits, stride, vocab_size_);
  if (request->request().embedding) AddStates(request, first, states, executor_.shape().d_model);
  if (s->remaining() > 0 || share.drafts == 0) blocks_.Settle(s);
  if (s->remaining() > 0) return;

  if (request->forked) {
    Deliver(s, std::move(s->drawn), share.drafts, {});
    return;
  }
  Fork(s);
  // A prompt's logits are those after its last token, for every choice the same.
  const bool generates = !request->request().embedding && request->request().max_tokens > 0;
  if (generates) logits = logits.last(static_cast<size_t>(stride));
  for (size_t c = 0; c < request->finish.size(); ++c) {
    Delta delta;
    if (c == 0) delta.prompt_logprobs = std::move(request->prompt_logprobs);
    if (generates) {
      Sequence* choice = request->sequences[c].get();
      Deliver(choice, SampleNext(choice, logits, 0, stride, vocab_size_), 0, std::move(delta));
    } else {
      FinishPrompt(request->sequences[c].get(), std::move(delta));
    }
  }
}

// The prompt is computed: one sequence for each choice goes on from here, on the same blocks.
void EngineCore::Fork(Sequence* first) {
  Progress* request = first->progress;
  request->forked = true;
  first->slots = 1;
  first->generating = true;
  first->all_logits = false;
  for (int64_t c = 1; c < request->request().choices; ++c) {
    auto fork = std::make_unique<Sequence>();
    static_cast<Job&>(*fork) = *first;
    fork->choice = c;
    fork->progress = request;
    fork->tokens = first->tokens;
    fork->table = pool_.Fork(first->table);
    running_.insert(std::upper_bound(running_.begin(), running_.end(), fork.get(),
                                     [](const Job* a, const Job* b) { return Before(*a, *b); }),
                    fork.get());
    request->sequences.push_back(std::move(fork));
  }
  if (request->request().embedding) return;
  for (const auto& s : request->sequences) BeginChoice(s.get(), tokenizer_, vocab_size_);
  request->start.reset();
}

// Nothing is generated: an embedding, or a prompt echoed alone.
void EngineCore::FinishPrompt(Sequence* s, Delta delta) {
  const bool embedding = s->progress->request().embedding;
  if (embedding) delta.embedding = MeanState(*s->progress);
  delta.finish = embedding ? FinishReason::kStop : FinishReason::kLength;
  Emit(s, std::move(delta));
}

// Chooses the next tokens of all sequences that are past their prompt, many at once.
void EngineCore::SampleAll(std::span<const float> logits) {
  const auto stride = static_cast<size_t>(executor_.shape().vocab_size);
  draws_.clear();
  size_t row = 0;
  for (size_t i = 0; i < plan_.shares.size(); ++i) {
    const Share& share = plan_.shares[i];
    auto* s = static_cast<Sequence*>(share.job);
    const auto rows = static_cast<size_t>(input_.slices[i].logits);
    const bool complete = s->computed + share.tokens - share.drafts == s->known;
    if (s->progress->forked && complete) {
      draws_.push_back({s, logits.subspan(row * stride, rows * stride), share.drafts});
    }
    row += rows;
  }
  executor_.ForEach(static_cast<int64_t>(draws_.size()), [this](int64_t i) {
    const auto& [s, rows, drafts] = draws_[static_cast<size_t>(i)];
    s->drawn = SampleNext(s, rows, drafts, executor_.shape().vocab_size, vocab_size_);
  });
}

void EngineCore::Deliver(Sequence* s, absl::StatusOr<std::vector<Sampled>> sampled, int64_t drafts,
                         Delta delta) {
  accounts_.stats().draft_tokens_total += drafts;
  if (!sampled.ok()) {
    delta.finish = FinishReason::kError;
    delta.error = sampled.status();
    Emit(s, std::move(delta));
    return;
  }
  if (drafts > 0) {
    accounts_.stats().draft_accepted_total += static_cast<int64_t>(sampled->size()) - 1;
  }
  const int64_t taken = TakeSampled(s, *std::move(sampled), tokenizer_, &delta);
  s->awaits_mask = s->constraint() != nullptr && !s->constraint()->ready();
  accounts_.Generated(s->progress, s, taken, now_);
  queue_.Charge(s->tenant, FairQueue::kOutputWeight * static_cast<double>(taken));
  // The newest token is not computed; accepted drafts are.
  if (drafts > 0) {
    s->computed = std::max(s->computed, s->known - 1);
    blocks_.Settle(s);
  }
  Emit(s, std::move(delta));
}

void EngineCore::Emit(Sequence* s, Delta delta) {
  delta.choice = s->choice;
  if (delta.finish != FinishReason::kNone) {
    Leave(s);
    Finish(s->progress, s->choice, std::move(delta));
    return;
  }
  s->progress->submission.on_delta(s->progress->request().id, std::move(delta));
}

// The delta that ends a choice; the request with the last one.
void EngineCore::Finish(Progress* request, int64_t choice, Delta delta) {
  FinishReason& finish = request->finish[static_cast<size_t>(choice)];
  LR_CHECK(finish == FinishReason::kNone);
  finish = delta.finish;
  delta.choice = choice;
  if (--request->unfinished == 0) {
    delta.last = true;
    delta.usage = request->usage;
    accounts_.Ended(*request, delta.finish, now_);
    ended_.push_back(request->request().id);
  }
  request->submission.on_delta(request->request().id, std::move(delta));
}

// All of a request's choices end.
void EngineCore::End(Progress* request, FinishReason reason, const absl::Status& error) {
  if (request->done()) return;
  now_ = clock_();
  for (const auto& s : request->sequences) {
    if (request->finish[static_cast<size_t>(s->choice)] == FinishReason::kNone) Leave(s.get());
  }
  for (size_t c = 0; c < request->finish.size(); ++c) {
    if (request->finish[c] != FinishReason::kNone) continue;
    Delta delta;
    delta.finish = reason;
    delta.error = error;
    Finish(request, static_cast<int64_t>(c), std::move(delta));
  }
}

// The sequence gives back its blocks and is in no list any more.
void EngineCore::Leave(Sequence* s) {
  if (s->stays) ++ended_sequences_;
  const auto at = std::find(running_.begin(), running_.end(), s);
  if (at != running_.end()) {
    running_.erase(at);
  } else {
    LR_CHECK(queue_.Remove(s));
  }
  blocks_.Release(s);
}

// Requests that have ended are kept until nobody looks at them any more.
void EngineCore::Sweep() {
  for (const std::string& id : ended_) requests_.erase(id);
  ended_.clear();
}

}  // namespace longrun::serving
