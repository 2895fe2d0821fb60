#include "serving/engine/sequence_blocks.h"

#include <algorithm>

#include "base/check.h"

namespace longrun::serving {
namespace {

// Assumed until the first swap is measured: a slow bus.
constexpr double kUnmeasuredSwapBytesPerSecond = 8e9;

Sequence& SequenceOf(Job* job) { return *static_cast<Sequence*>(job); }

}  // namespace

// Echoed logprobs and embeddings need every token computed.
bool SequenceBlocks::Sharing(const Sequence& s) {
  return !s.all_logits && !s.progress->request().embedding;
}

// One token at least is computed: its logits are what is wanted.
int64_t SequenceBlocks::HitLimit(const Sequence& s) const {
  if (!config_.share_prefixes || !Sharing(s)) return 0;
  return (s.known - 1) / pool_.block_tokens();
}

bool SequenceBlocks::Reserve(Job* job, int64_t tokens) {
  Sequence& s = SequenceOf(job);
  made_.clear();
  if (!pool_.Reserve(&s.table, s.computed, s.computed + tokens, &made_)) return false;
  for (const BlockCopy& copy : made_) copies_.push_back({&s, copy});
  return true;
}

void SequenceBlocks::Preempt(Job* job) {
  Sequence& s = SequenceOf(job);
  ++preemptions_;
  // A copy that is still to be made is not in the block yet: such a sequence is never swapped.
  const size_t before = copies_.size();
  std::erase_if(copies_, [&s](const PendingCopy& c) { return c.sequence == &s; });
  if (copies_.size() == before && SwapOut(&s)) {
    ++swaps_;
    s.held = s.computed;
  }
  s.computed = 0;
  s.draft = 0;
  s.waiting_since = clock_();
  pool_.Release(&s.table);
  queue_.Return(&s);
}

bool SequenceBlocks::SwapOut(Sequence* s) {
  if (!executor_.swaps() || s->computed == 0) return false;
  const int64_t count = pool_.BlocksFor(s->computed);
  const int64_t bytes = count * config_.block_bytes;
  const double measured = swap_rate_.per_second();
  const double line = times_.line() ? times_.line()->seconds_per_token : 0;
  if (swapped_bytes_ + bytes > config_.swap_bytes ||
      !SwapIsCheaper(static_cast<double>(bytes),
                     measured > 0 ? measured : kUnmeasuredSwapBytesPerSecond,
                     static_cast<double>(s->computed), line)) {
    return false;
  }
  const Time start = clock_();
  if (!executor_.SwapOut(std::span(s->table.blocks).first(static_cast<size_t>(count)), &s->swapped)
           .ok()) {
    s->swapped = {};
    return false;
  }
  swap_rate_.Add(static_cast<double>(bytes), (clock_() - start).seconds());
  swapped_bytes_ += static_cast<int64_t>(s->swapped.size());
  return true;
}

// False where the bytes did not come back: the tokens are computed again.
bool SequenceBlocks::SwapIn(Sequence* s) {
  const Time start = clock_();
  LR_CHECK(pool_.Reserve(&s->table, 0, s->held, &made_));
  const bool done = executor_.SwapIn(s->swapped, s->table.blocks).ok();
  swap_rate_.Add(static_cast<double>(s->swapped.size()), (clock_() - start).seconds());
  if (done) {
    s->computed = s->held;
  } else {
    pool_.Release(&s->table);
  }
  ForgetSwapped(s);
  return done;
}

void SequenceBlocks::ForgetSwapped(Sequence* s) {
  swapped_bytes_ -= static_cast<int64_t>(s->swapped.size());
  s->swapped = {};
  s->held = 0;
}

Blocks::Demand SequenceBlocks::Look(const Job& job) {
  const Sequence& s = static_cast<const Sequence&>(job);
  // Bytes come back at once, copies are made by the step: a copy could read what came back.
  if (s.held > 0) return {.later = !copies_.empty(), .blocks = pool_.BlocksFor(s.known)};
  const int64_t limit = HitLimit(s);
  const BlockPool::Hit hit = pool_.Find(s.table, s.tokens, limit);
  return {.later = hit.awaited, .blocks = pool_.BlocksFor(s.known) - hit.blocks + hit.cached};
}

void SequenceBlocks::Admit(Job* job) {
  Sequence& s = SequenceOf(job);
  s.waited = s.waited + (clock_() - s.waiting_since);
  if (s.held > 0 && SwapIn(&s)) return;
  const int64_t limit = HitLimit(s);
  s.computed = pool_.Take(&s.table, s.tokens, limit) * pool_.block_tokens();
  if (limit > 0) pool_.Promise(&s.table);
  if (s.progress->admitted) return;
  // At once: the next one is chosen in the same round.
  queue_.Charge(s.tenant, FairQueue::kPromptWeight * static_cast<double>(s.remaining()));
  if (Sharing(s)) {
    hit_queries_ += s.known;
    hits_ += s.computed;
  }
}

int64_t SequenceBlocks::Lacking(const Job& job) const {
  const Sequence& s = static_cast<const Sequence&>(job);
  return std::max<int64_t>(0,
                           pool_.BlocksFor(s.known) - static_cast<int64_t>(s.table.blocks.size()));
}

void SequenceBlocks::Settle(Sequence* s) {
  pool_.Truncate(&s->table, s->computed);
  if (config_.share_prefixes) {
    pool_.Publish(&s->table, std::span(s->tokens).first(static_cast<size_t>(s->known)),
                  s->computed);
  }
}

void SequenceBlocks::Release(Sequence* s) {
  pool_.Release(&s->table);
  ForgetSwapped(s);
}

void SequenceBlocks::TakeCopies(std::vector<BlockCopy>* copies) {
  copies->clear();
  for (const PendingCopy& pending : copies_) copies->push_back(pending.copy);
  copies_.clear();
}

}  // namespace longrun::serving
