#include "fleet/state.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "fleet/fold.h"

namespace longrun::fleet {

bool State::Apply(const Event& event) {
  bool changed = false;
  if (!event.source.node.empty() && !std::holds_alternative<NodeJoined>(event.body)) {
    const auto it = nodes.find(event.source.node);
    if (it == nodes.end()) return false;
    Node& node = it->second;
    if (!node.up || event.source.session != node.session) return false;
    if (event.source.seq <= node.last_seq) return false;
    node.last_seq = event.source.seq;
    changed = true;
  }
  Fold fold(this, std::max(now, event.at), event.source);
  if (std::visit([&](const auto& body) { return fold.On(body); }, event.body)) changed = true;
  if (changed) {
    ++events;
    now = std::max(now, event.at);
  }
  return changed;
}

std::vector<MemberId> LostRanks(const Run& run) {
  std::vector<MemberId> lost;
  for (const MemberId id : run.gang) {
    const Member* member = run.Find(id);
    LR_CHECK(member != nullptr);
    if (!member->sound() && !member->clean_exit()) lost.push_back(id);
  }
  return lost;
}

bool AllJoined(const Run& run) {
  return !run.gang.empty() && std::all_of(run.gang.begin(), run.gang.end(), [&](MemberId id) {
    const Member& member = *run.Find(id);
    if (member.clean_exit()) return true;
    if (!member.sound()) return false;
    if (run.speaks_protocol) return member.joined == run.incarnation;
    return member.phase != MemberPhase::kPlaced;
  });
}

std::vector<MemberId> Reserve(const Run& run) {
  std::vector<MemberId> reserve;
  for (const auto& [id, member] : run.members) {
    if (member.rank < 0 && member.sound()) reserve.push_back(id);
  }
  return reserve;
}

int64_t SlotsOf(const Member& member) {
  return std::max<int64_t>(1, static_cast<int64_t>(member.accelerators.size()));
}

void Accrue(Run& run, Time now) {
  if (run.accrued_until.never()) run.accrued_until = now;
  const int64_t us = (now - run.accrued_until).us;
  run.accrued_until = now;
  if (us <= 0) return;
  Accounts& accounts = run.accounts;
  const int64_t gang = us * run.gang_slots;
  const int64_t reserve = us * run.reserve_slots;
  accounts.held += gang + reserve;
  accounts.waiting += reserve;
  if (run.phase == Phase::kRunning) {
    run.pending_work += gang;
  } else if (run.waits || run.phase == Phase::kStopping || run.phase == Phase::kPending ||
             IsFinal(run.phase)) {
    accounts.waiting += gang;
  } else {
    accounts.restarting += gang;
  }
}

Accounts AccountsAt(const Run& run, Time now) {
  Run copy;  // only what Accrue reads
  copy.phase = run.phase;
  copy.waits = run.waits;
  copy.accounts = run.accounts;
  copy.accrued_until = run.accrued_until;
  copy.pending_work = run.pending_work;
  copy.gang_slots = run.gang_slots;
  copy.reserve_slots = run.reserve_slots;
  if (!copy.accrued_until.never() && now > copy.accrued_until) Accrue(copy, now);
  const bool small = static_cast<int>(run.gang.size()) < run.spec.ranks;
  (small ? copy.accounts.degraded : copy.accounts.productive) += copy.pending_work;
  return copy.accounts;
}

// ---- nodes ----

bool Fold::On(const NodeJoined& e) {
  Node& node = state_.nodes[e.node];
  if (e.session <= node.session) {
    return false;  // told again, or the session was given up as lost
  }
  if (node.up) LoseProcesses(node, absl::StrCat(e.node.text, " started anew"));
  node.id = e.node;
  node.site = e.site;
  node.address = e.address;
  node.labels = e.labels;
  node.type = e.type;
  node.cpu_milli = e.cpu_milli;
  node.memory_bytes = e.memory_bytes;
  node.session = e.session;
  node.last_seq = source_.seq;
  node.up = true;
  node.slots.assign(static_cast<size_t>(std::max(0, e.accelerators)), Holder());
  node.cpu_used_milli = 0;
  node.memory_used_bytes = 0;
  node.changed = now_;
  node.lost_reason.clear();
  return true;
}

bool Fold::On(const NodeLost& e) {
  const auto it = state_.nodes.find(e.node);
  if (it == state_.nodes.end()) return false;
  Node& node = it->second;
  if (!node.up || node.session != e.session) return false;
  LoseProcesses(node, absl::StrCat(e.node.text, " was lost: ", e.reason));
  node.up = false;
  node.changed = now_;
  node.lost_reason = e.reason;
  return true;
}

void Fold::LoseProcesses(Node& node, const std::string& reason) {
  std::set<std::pair<RunId, MemberId>> holders;
  for (const Holder& holder : node.slots) {
    if (!holder.run.empty()) holders.emplace(holder.run, holder.member);
  }
  for (const auto& [run_id, member_id] : holders) {
    Run& run = state_.runs.at(run_id);
    EndMember(run, run.members.at(member_id), 0, 9, reason, "was lost with its node");
  }
}

void Fold::TakeSlots(Run& run, const Placement& placement) {
  LR_CHECK_EQ(placement.member, run.next_member);
  ++run.next_member;
  const auto it = state_.nodes.find(placement.node);
  LR_CHECK(it != state_.nodes.end());
  Node& node = it->second;
  LR_CHECK(node.up);
  LR_CHECK(!placement.accelerators.empty());
  for (const int i : placement.accelerators) {
    LR_CHECK(i >= 0 && static_cast<size_t>(i) < node.slots.size());
    LR_CHECK(node.slots[i].run.empty());
    node.slots[i] = {run.id, placement.member};
  }
  node.cpu_used_milli += run.spec.resources.cpu_milli;
  node.memory_used_bytes += run.spec.resources.memory_bytes;
  Member& member = run.members[placement.member];
  member.id = placement.member;
  member.node = placement.node;
  member.accelerators = placement.accelerators;
  member.placed_at = member.changed_at = now_;
  run.reserve_slots += SlotsOf(member);
  if (run.started.never()) run.started = now_;
}

void Fold::SetRank(Run& run, Member& member, int rank) {
  if (member.alive() && (member.rank < 0) != (rank < 0)) {
    const int64_t slots = SlotsOf(member);
    run.gang_slots += rank < 0 ? -slots : slots;
    run.reserve_slots += rank < 0 ? slots : -slots;
  }
  member.rank = rank;
}

void Fold::EndMember(Run& run, Member& member, int code, int signal, const std::string& what,
                     const std::string& how) {
  Accrue(run, now_);
  Node& node = state_.nodes.at(member.node);
  for (const int i : member.accelerators) node.slots[i] = Holder();
  node.cpu_used_milli -= run.spec.resources.cpu_milli;
  node.memory_used_bytes -= run.spec.resources.memory_bytes;
  (member.rank >= 0 ? run.gang_slots : run.reserve_slots) -= SlotsOf(member);
  const bool was_sound = member.sound();
  const bool was_ready = member.phase == MemberPhase::kReady;
  member.phase = MemberPhase::kExited;
  member.exit_code = code;
  member.exit_signal = signal;
  member.exit_what = what;
  member.changed_at = now_;
  if (member.rank >= 0) {
    if (was_sound && !member.clean_exit()) {
      Fault(run, member,
            !how.empty()  ? how
            : signal != 0 ? absl::StrCat("was killed by signal ", signal)
                          : absl::StrCat("exited with code ", code));
    } else {
      MaybeAllJoined(run);
    }
    return;
  }
  if (was_sound && !was_ready) {
    ++run.reserve_failures;
    run.reserve_failed_at = now_;
  }
  run.members.erase(member.id);
}

}  // namespace longrun::fleet
