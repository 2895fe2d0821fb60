#include "api/run_view.h"

#include <algorithm>
#include <cmath>

#include "base/codec.h"

namespace longrun::api {
namespace {

constexpr size_t kRecoveriesShown = 100;

const char* MemberPhaseName(const fleet::Member& member) {
  if (member.silent) return "silent";
  if (member.stopping && member.alive()) return "stopping";
  switch (member.phase) {
    case fleet::MemberPhase::kPlaced:
      return "placed";
    case fleet::MemberPhase::kStarted:
      return "started";
    case fleet::MemberPhase::kReady:
      return "ready";
    case fleet::MemberPhase::kExited:
      return "exited";
  }
  return "";
}

void AddMember(const fleet::Member& member, int rank, v1::RunView& view) {
  v1::MemberView& out = *view.add_members();
  out.set_member(member.id);
  out.set_rank(rank);
  out.set_node(member.node.text);
  out.set_phase(MemberPhaseName(member));
  out.set_pid(member.pid);
  out.set_step(member.applied_step);
}

void AddMembers(const fleet::Run& run, v1::RunView& view) {
  for (size_t rank = 0; rank < run.gang.size(); ++rank) {
    const fleet::Member* member = run.Find(run.gang[rank]);
    if (member != nullptr) AddMember(*member, static_cast<int>(rank), view);
  }
  for (const auto& [id, member] : run.members) {
    const bool in_gang = std::find(run.gang.begin(), run.gang.end(), id) != run.gang.end();
    if (!in_gang && member.alive()) AddMember(member, -1, view);
  }
}

void AddRecoveries(const fleet::Run& run, Time now, v1::RunView& view) {
  const size_t all = run.recoveries.size();
  for (size_t i = all > kRecoveriesShown ? all - kRecoveriesShown : 0; i < all; ++i) {
    const fleet::Recovery& recovery = run.recoveries[i];
    v1::RecoveryView& out = *view.add_recoveries();
    out.set_cause(recovery.cause);
    out.set_rung(fleet::RungName(recovery.rung));
    out.set_incarnation(recovery.incarnation);
    out.set_over(!recovery.over_at.never());
    const Time end = recovery.over_at.never() ? std::max(now, recovery.fault_at) : recovery.over_at;
    out.set_seconds((end - recovery.fault_at).seconds());
    if (!recovery.joined_at.never()) {
      out.set_joined_seconds((recovery.joined_at - recovery.fault_at).seconds());
    }
    out.set_steps_lost(recovery.steps_lost);
    out.set_fault_us(recovery.fault_at.us);
  }
}

}  // namespace

v1::RunView ViewOf(const fleet::Run& run, Time now) {
  v1::RunView view;
  view.set_run(run.id.text);
  view.set_phase(fleet::PhaseName(run.phase));
  view.set_over(fleet::IsFinal(run.phase));
  view.set_reason(run.reason);
  view.set_step(run.committed_step);
  if (run.has_loss) view.set_loss(run.loss);
  view.set_tokens(run.tokens);
  view.set_step_seconds(run.step_seconds);
  const Time until = run.live() ? now : std::max(run.finished, run.accrued_until);
  const fleet::Accounts accounts = fleet::AccountsAt(run, until);
  view.set_goodput(accounts.Goodput());
  v1::AccountsView& out = *view.mutable_accounts();
  out.set_held(static_cast<double>(accounts.held) / 1e6);
  out.set_productive(static_cast<double>(accounts.productive) / 1e6);
  out.set_recomputed(static_cast<double>(accounts.recomputed) / 1e6);
  out.set_restarting(static_cast<double>(accounts.restarting) / 1e6);
  out.set_waiting(static_cast<double>(accounts.waiting) / 1e6);
  out.set_degraded(static_cast<double>(accounts.degraded) / 1e6);
  view.set_ranks(run.spec.ranks);
  view.set_spares(run.spec.spares);
  view.set_incarnation(run.incarnation);
  AddMembers(run, view);
  AddRecoveries(run, now, view);
  view.set_committed_steps_lost(run.committed_steps_lost);
  view.set_checkpoint_step(run.checkpoint_step);
  view.set_checkpoint_stall_seconds(run.checkpoint_stall_seconds);
  for (const auto& [name, metric] : run.metrics) (*view.mutable_metrics())[name] = metric.value;
  const auto total = run.metrics.find("total_steps");
  if (total != run.metrics.end() && total->second.value >= 1 && total->second.value < 1e15) {
    view.set_total_steps(std::llround(total->second.value));
  }
  for (const std::string& line : run.said) view.add_said(line);
  view.set_submitted_us(run.submitted.us);
  view.set_started_us(run.started.us);
  view.set_finished_us(run.finished.us);
  view.set_now_us(now.us);
  view.set_speaks_protocol(run.speaks_protocol);
  view.set_faults(run.faults);
  view.set_spec_hash(HashOf(run.spec));
  return view;
}

v1::NodeView ViewOf(const fleet::Node& node) {
  v1::NodeView view;
  view.set_node(node.id.text);
  view.set_up(node.up);
  view.set_accelerators(static_cast<int>(node.slots.size()));
  view.set_free(static_cast<int>(
      std::count_if(node.slots.begin(), node.slots.end(),
                    [](const fleet::Holder& holder) { return holder.run.empty(); })));
  view.set_type(node.type);
  view.set_reason(node.lost_reason);
  return view;
}

}  // namespace longrun::api
