#include "serving/engine/masks.h"

#include <algorithm>

namespace longrun::serving {
namespace {

// Of those that wait, so many of each line may be admitted in a step with their masks ready.
constexpr size_t kAhead = 16;

}  // namespace

void Masks::Want(Job* job) {
  if (!job->awaits_mask) return;
  Sequence* s = static_cast<Sequence*>(job);
  if (!s->sampler && s->progress->start == nullptr) {
    s->progress->start = s->progress->submission.constraint->Start();
  }
  if (s->mask_wanted == 0) s->mask_wanted = steps_;
  wanted_.push_back({s, 0, 0});
}

void Masks::Prepare(const std::vector<Job*>& running, FairQueue* queue) {
  ++steps_;
  wanted_.clear();
  for (Job* job : running) Want(job);
  // Stable: of equals the better claim.
  std::stable_sort(wanted_.begin(), wanted_.end(), [](const Wanted& a, const Wanted& b) {
    return a.sequence->mask_wanted < b.sequence->mask_wanted;
  });
  queue->ForEachLine([this](const FairQueue::Line& line) {
    for (size_t i = 0; i < std::min(kAhead, line.jobs.size()); ++i) Want(line.jobs[i]);
  });
  MaskTurns turns(effort_);
  while (!wanted_.empty() && Round(&turns, queue)) {
  }
}

// Whoever is ready wants nothing any more. False where no effort is left.
bool Masks::Round(MaskTurns* turns, FairQueue* queue) {
  std::vector<int32_t> tenants;
  for (const Wanted& wanted : wanted_) tenants.push_back(wanted.sequence->tenant);
  const std::vector<int64_t> shares = turns->Share(tenants);
  std::vector<Wanted*> working;
  for (size_t i = 0; i < wanted_.size(); ++i) {
    wanted_[i].effort = shares[i];
    wanted_[i].paid = 0;
    if (shares[i] > 0) working.push_back(&wanted_[i]);
  }
  if (working.empty()) return false;
  executor_.ForEach(static_cast<int64_t>(working.size()), [&working](int64_t i) {
    Wanted& wanted = *working[static_cast<size_t>(i)];
    wanted.paid = wanted.sequence->constraint()->Prepare(wanted.effort);
  });
  std::erase_if(wanted_, [turns, queue](const Wanted& wanted) {
    Sequence& s = *wanted.sequence;
    turns->Spend(s.tenant, wanted.paid);
    queue->Charge(s.tenant, FairQueue::kMaskWeight * static_cast<double>(wanted.paid));
    if (!s.constraint()->ready()) return false;
    s.awaits_mask = false;
    s.mask_wanted = 0;
    return true;
  });
  return true;
}

}  // namespace longrun::serving
