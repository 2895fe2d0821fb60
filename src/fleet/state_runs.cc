// The fold of what concerns runs and their members; src/fleet/state.cc has nodes and accounts.

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "fleet/fold.h"

namespace longrun::fleet {

static constexpr size_t kRecoveriesKept = 1000;
static constexpr size_t kSaidKept = 50;
static constexpr size_t kCauseLength = 2000;

Fold::Place Fold::Find(const RunId& run_id, MemberId member_id) {
  const auto run = state_.runs.find(run_id);
  if (run == state_.runs.end()) return {};
  const auto member = run->second.members.find(member_id);
  if (member == run->second.members.end() || !member->second.alive()) return {};
  if (!source_.node.empty() && member->second.node != source_.node) return {};
  return {&run->second, &member->second};
}

// ---- facts ----

bool Fold::On(const MemberStarted& e) {
  const auto [run, member] = Find(e.run, e.member);
  if (member == nullptr || member->phase != MemberPhase::kPlaced) return false;
  Accrue(*run, now_);
  member->phase = MemberPhase::kStarted;
  member->pid = e.pid;
  member->changed_at = member->progress_at = now_;
  MaybeAllJoined(*run);
  return true;
}

bool Fold::On(const MemberReady& e) {
  const auto [run, member] = Find(e.run, e.member);
  if (member == nullptr) return false;
  if (member->phase == MemberPhase::kReady && member->endpoint == e.endpoint) return false;
  Accrue(*run, now_);
  member->phase = MemberPhase::kReady;
  member->endpoint = e.endpoint;
  member->silent = false;
  member->changed_at = member->progress_at = now_;
  if (member->rank < 0) run->reserve_failures = 0;
  if (!run->speaks_protocol) {
    run->speaks_protocol = true;
    // Until now the start of every process looked like the whole of it.
    if (run->phase == Phase::kRunning) {
      run->accounts.restarting += run->pending_work;
      run->pending_work = 0;
      run->phase = Phase::kStarting;
    }
  }
  return true;
}

bool Fold::On(const MemberJoined& e) {
  const auto [run, member] = Find(e.run, e.member);
  if (member == nullptr || member->rank < 0 || e.incarnation != run->incarnation) return false;
  if (member->joined >= e.incarnation) return false;
  Accrue(*run, now_);
  member->joined = e.incarnation;
  member->waiting = false;
  member->applied_step = e.step;
  member->has_state = true;
  member->progress_at = now_;
  MaybeAllJoined(*run);
  return true;
}

bool Fold::On(const MemberCommitted& e) {
  const auto [run, member] = Find(e.run, e.member);
  if (member == nullptr || member->rank < 0 || e.incarnation != run->incarnation) return false;
  if (member->joined != e.incarnation || e.step <= member->applied_step) return false;
  const bool lagged = member->applied_step <= run->committed_step;
  member->waiting = false;
  member->applied_step = e.step;
  member->progress_at = now_;
  if (lagged && e.step > run->committed_step) --run->lagging;
  if (StopsWhole(*run)) CountLagging(*run);
  if ((run->phase == Phase::kRunning || StopsWhole(*run)) && run->lagging == 0) Commit(*run, e);
  return true;
}

// Told to stop, every rank in the gang: the steps that they still finish count, for the last
// checkpoint holds them.
bool Fold::StopsWhole(const Run& run) {
  return run.phase == Phase::kStopping &&
         std::all_of(run.gang.begin(), run.gang.end(),
                     [&](MemberId id) { return run.members.at(id).joined == run.incarnation; });
}

void Fold::CountLagging(Run& run) {
  run.lagging = 0;
  for (const MemberId id : run.gang) {
    if (run.members.at(id).applied_step <= run.committed_step) ++run.lagging;
  }
}

void Fold::Commit(Run& run, const MemberCommitted& e) {
  Accrue(run, now_);
  int64_t step = e.step;
  for (const MemberId id : run.gang) step = std::min(step, run.members.at(id).applied_step);
  LR_CHECK_GT(step, run.committed_step);
  const int64_t steps = step - run.committed_step;
  run.committed_step = step;
  if (step > run.best_step) {
    const bool small = static_cast<int>(run.gang.size()) < run.spec.ranks;
    (small ? run.accounts.degraded : run.accounts.productive) += run.pending_work;
    run.tokens += e.tokens * (step - std::max(run.best_step, step - steps));
    run.best_step = step;
    run.failures_without_progress = 0;
  } else {
    run.accounts.recomputed += run.pending_work;
  }
  run.pending_work = 0;
  run.loss = e.loss;
  run.has_loss = true;
  if (e.seconds > 0) {
    run.step_seconds = run.step_seconds == 0 ? e.seconds : 0.9 * run.step_seconds + 0.1 * e.seconds;
  }
  run.committed_at = now_;
  if (!run.recoveries.empty() && run.recoveries.back().over_at.never()) {
    run.recoveries.back().over_at = now_;
  }
  CountLagging(run);
}

bool Fold::On(const MemberBroken& e) {
  const auto [run, member] = Find(e.run, e.member);
  if (member == nullptr || member->rank < 0 || e.incarnation != run->incarnation) return false;
  if (member->broken >= e.incarnation) return false;
  Accrue(*run, now_);
  member->broken = e.incarnation;
  if (run->broken_at.never()) run->broken_at = now_;
  return true;
}

bool Fold::On(const MemberWaiting& e) {
  const auto [run, member] = Find(e.run, e.member);
  if (member == nullptr || e.incarnation != run->incarnation) return false;
  if (member->joined != e.incarnation || e.step != member->applied_step) return false;
  if (member->waiting) return false;
  member->waiting = true;
  return true;
}

bool Fold::On(const MemberSilent& e) {
  const auto [run, member] = Find(e.run, e.member);
  if (member == nullptr || member->silent) return false;
  Accrue(*run, now_);
  const bool was_sound = member->sound();
  member->silent = true;
  if (member->rank >= 0 && was_sound) {
    Fault(*run, *member, absl::StrCat("hung: no answer for ", e.seconds, " s"));
  }
  return true;
}

bool Fold::On(const MemberExited& e) {
  const auto [run, member] = Find(e.run, e.member);
  if (member == nullptr) return false;
  EndMember(*run, *member, e.code, e.signal, e.what);
  return true;
}

bool Fold::On(const CheckpointPublished& e) {
  const auto [run, member] = Find(e.run, e.member);
  if (member == nullptr) return false;
  member->progress_at = now_;
  run->checkpoint_step = e.step;
  ++run->checkpoints;
  run->checkpoint_seconds = e.seconds;
  run->checkpoint_stall_seconds = e.stall_seconds;
  return true;
}

bool Fold::On(const MetricReported& e) {
  const auto [run, member] = Find(e.run, e.member);
  if (member == nullptr) return false;
  member->progress_at = now_;
  // A program may make up names without end; what is shown stays bounded.
  if (run->metrics.size() >= 100 && !run->metrics.contains(e.name)) return false;
  run->metrics[e.name] = {e.value, e.step};
  return true;
}

bool Fold::On(const MemberSaid& e) {
  const auto [run, member] = Find(e.run, e.member);
  if (member == nullptr) return false;
  member->progress_at = now_;
  if (run->said.size() == kSaidKept) run->said.erase(run->said.begin());
  run->said.push_back(e.text);
  return true;
}

// A fault of a rank: opens a recovery, or joins the one under way.
void Fold::Fault(Run& run, const Member& member, const std::string& how) {
  Fault(run, absl::StrCat("rank ", member.rank, " (member ", member.id, " on ", member.node.text,
                          ") ", how));
}

void Fold::Fault(Run& run, const std::string& cause) {
  if (IsFinal(run.phase) || run.phase == Phase::kStopping) return;
  ++run.faults;
  if (!run.recoveries.empty() && run.recoveries.back().over_at.never()) {
    Recovery& open = run.recoveries.back();
    if (open.cause.size() < kCauseLength) absl::StrAppend(&open.cause, "; ", cause);
  } else {
    if (run.recoveries.size() == kRecoveriesKept) run.recoveries.erase(run.recoveries.begin());
    run.recoveries.push_back({.cause = cause, .fault_at = now_});
  }
  // Two ranks of one node that die together are one failure; so is a rank that falls to the same
  // fault before anything was decided about it.
  if (run.phase == Phase::kStarting || run.phase == Phase::kRunning ||
      run.recoveries.back().incarnation == run.incarnation) {
    // Without steps to count, a minute of running is progress.
    if (!run.speaks_protocol && now_ - run.decided_at > Duration::Minutes(1)) {
      run.failures_without_progress = 0;
    }
    ++run.failures_without_progress;
    run.recoveries.back().incarnation = 0;
  }
  Interrupt(run);
}

// The step in flight is lost: the time spent on it will be spent again.
void Fold::Interrupt(Run& run) {
  run.accounts.recomputed += run.pending_work;
  run.pending_work = 0;
  run.phase = Phase::kRecovering;
}

void Fold::MaybeAllJoined(Run& run) {
  if (run.phase != Phase::kStarting && run.phase != Phase::kRecovering) return;
  if (!AllJoined(run)) return;
  Accrue(run, now_);
  run.phase = Phase::kRunning;
  run.reason.clear();
  run.waits = false;
  Recovery* open = !run.recoveries.empty() && run.recoveries.back().over_at.never()
                       ? &run.recoveries.back()
                       : nullptr;
  if (open != nullptr) open->joined_at = now_;
  if (!run.speaks_protocol) {
    if (open != nullptr) open->over_at = now_;
    return;
  }
  // One that ended well before it heard of this incarnation has nothing to say of its step.
  std::optional<int64_t> joined;
  for (const MemberId id : run.gang) {
    const Member& member = run.members.at(id);
    if (member.joined != run.incarnation) continue;
    joined = std::min(joined.value_or(member.applied_step), member.applied_step);
  }
  if (!joined.has_value()) return;
  const int64_t step = *joined;
  if (step < run.committed_step) {
    run.committed_steps_lost += run.committed_step - step;
    if (open != nullptr) open->steps_lost += run.committed_step - step;
  }
  run.committed_step = step;
  run.best_step = std::max(run.best_step, step);
  CountLagging(run);
}

// ---- requests ----

bool Fold::On(const RunSubmitted& e) {
  LR_CHECK(!state_.runs.contains(e.spec.name) || !state_.runs.at(e.spec.name).live());
  Run& run = state_.runs[e.spec.name];
  // Processes of an earlier run of this name may still be ending; they keep their slots until then.
  std::map<MemberId, Member> members;
  for (auto& [id, member] : run.members) {
    if (member.alive()) members.emplace(id, std::move(member));
  }
  const MemberId next_member = run.next_member;
  const uint64_t incarnation = run.incarnation;
  const int64_t slots = run.gang_slots + run.reserve_slots;
  run = Run();
  run.next_member = next_member;
  run.incarnation = incarnation;
  run.members = std::move(members);
  for (auto& [id, member] : run.members) member.rank = -1;
  run.reserve_slots = slots;
  run.id = e.spec.name;
  run.spec = e.spec;
  run.submitted = now_;
  run.accrued_until = now_;
  return true;
}

bool Fold::On(const CancelRequested& e) {
  const auto it = state_.runs.find(e.run);
  if (it == state_.runs.end() || !it->second.live() || it->second.cancel_requested) return false;
  Run& run = it->second;
  Accrue(run, now_);
  run.accounts.productive += run.pending_work;  // the ranks save what they have
  run.pending_work = 0;
  run.cancel_requested = true;
  run.phase = Phase::kStopping;
  run.reason = e.reason;
  return true;
}

// There to be read (`why`).
bool Fold::On(const FaultInjected&) { return true; }

bool Fold::On(const ControllerStarted&) {
  state_.controller_started = now_;
  return true;
}

// ---- decisions ----

Run& Fold::RunToDecide(const RunId& id) {
  const auto it = state_.runs.find(id);
  LR_CHECK(it != state_.runs.end());
  LR_CHECK(it->second.live());
  Accrue(it->second, now_);
  return it->second;
}

bool Fold::On(const IncarnationDecided& e) {
  Run& run = RunToDecide(e.run);
  LR_CHECK_EQ(e.incarnation, run.incarnation + 1);
  LR_CHECK(!e.gang.empty());
  if (run.phase == Phase::kRunning) Interrupt(run);
  for (const Placement& placement : e.placed) {
    TakeSlots(run, placement);
    run.members.at(placement.member).placed_for = e.incarnation;
  }
  for (auto& [id, member] : run.members) {
    SetRank(run, member, -1);
    member.waiting = false;
  }
  for (size_t rank = 0; rank < e.gang.size(); ++rank) {
    const auto it = run.members.find(e.gang[rank]);
    LR_CHECK(it != run.members.end());
    LR_CHECK(it->second.sound());
    LR_CHECK_EQ(it->second.rank, -1);  // nobody is two ranks
    SetRank(run, it->second, static_cast<int>(rank));
  }
  std::erase_if(run.members, [](const auto& entry) { return !entry.second.alive(); });
  const bool first = run.phase == Phase::kPending || run.phase == Phase::kStarting;
  run.incarnation = e.incarnation;
  run.rung = e.rung;
  run.gang = e.gang;
  run.master_address = e.master_address;
  run.master_port = e.master_port;
  run.decided_at = now_;
  run.phase = first ? Phase::kStarting : Phase::kRecovering;
  run.reason = e.reason;
  run.waits = false;
  run.wait_until = {};
  run.broken_at = {};
  if (!run.recoveries.empty() && run.recoveries.back().over_at.never()) {
    run.recoveries.back().rung = e.rung;
    run.recoveries.back().incarnation = e.incarnation;
  }
  CountLagging(run);
  MaybeAllJoined(run);
  return true;
}

bool Fold::On(const ReservePlaced& e) {
  Run& run = RunToDecide(e.run);
  for (const Placement& placement : e.placed) {
    TakeSlots(run, placement);
    run.members.at(placement.member).placed_for = run.incarnation;
  }
  return true;
}

bool Fold::On(const MembersStopped& e) {
  Run& run = RunToDecide(e.run);
  // To end ranks of a gang that looked whole is to find a fault, one that no process told of.
  const bool of_gang = std::any_of(e.members.begin(), e.members.end(),
                                   [&](MemberId id) { return run.members.at(id).rank >= 0; });
  if (e.kill && of_gang && LostRanks(run).empty()) Fault(run, e.reason);
  for (const MemberId id : e.members) {
    Member& member = run.members.at(id);
    LR_CHECK(member.alive());
    if (member.rank >= 0 && member.sound() && run.phase != Phase::kStopping) Interrupt(run);
    member.stopping = true;
    member.killing = member.killing || e.kill;
  }
  return true;
}

bool Fold::On(const RunWaits& e) {
  Run& run = RunToDecide(e.run);
  run.waits = true;
  run.reason = e.reason;
  run.wait_until = e.until;
  return true;
}

bool Fold::On(const RunFinished& e) {
  Run& run = RunToDecide(e.run);
  LR_CHECK(IsFinal(e.phase));
  run.accounts.productive += run.pending_work;
  run.pending_work = 0;
  run.phase = e.phase;
  run.reason = e.reason;
  run.finished = now_;
  run.waits = false;
  for (auto& [id, member] : run.members) {
    if (member.alive()) member.stopping = true;
  }
  return true;
}

}  // namespace longrun::fleet
