#include "fleet/desired.h"

#include <algorithm>
#include <set>
#include <utility>

namespace longrun::fleet {
namespace {

DesiredMember::Do ActionFor(const Run& run, const Member& member) {
  if (member.killing) return DesiredMember::Do::kKill;
  if (member.stopping) return DesiredMember::Do::kStop;
  // A program that does not speak the protocol would not wait: it would run beside the gang.
  if (member.rank < 0 && !run.speaks_protocol && member.phase == MemberPhase::kPlaced) {
    return DesiredMember::Do::kHold;
  }
  return DesiredMember::Do::kRun;
}

DesiredMember DesiredMemberOf(const Run& run, const Member& member) {
  DesiredMember desired{.run = run.id,
                        .member = member.id,
                        .action = ActionFor(run, member),
                        .accelerators = member.accelerators};
  // Facts that only matter to a start, and change: a running member's entry should not.
  if (member.phase != MemberPhase::kPlaced) return desired;
  desired.incarnation = run.incarnation;
  if (member.rank < 0) return desired;
  desired.rank = member.rank;
  desired.world = static_cast<int>(run.gang.size());
  desired.local_world = 0;
  for (size_t rank = 0; rank < run.gang.size(); ++rank) {
    const Member* other = run.Find(run.gang[rank]);
    if (other == nullptr || other->node != member.node) continue;
    if (static_cast<int>(rank) < member.rank) ++desired.local_rank;
    ++desired.local_world;
  }
  desired.master_address = run.master_address;
  desired.master_port = run.master_port;
  return desired;
}

bool GangReady(const Run& run) {
  return run.speaks_protocol && !run.gang.empty() &&
         std::all_of(run.gang.begin(), run.gang.end(),
                     [&](MemberId id) { return run.members.at(id).phase == MemberPhase::kReady; });
}

}  // namespace

NodeDesired DesiredOf(const State& state, const Node& node, uint64_t revision) {
  NodeDesired desired{.node = node.id, .session = node.session, .revision = revision};
  std::set<std::pair<RunId, MemberId>> holders;
  for (const Holder& holder : node.slots) {
    if (!holder.run.empty()) holders.emplace(holder.run, holder.member);
  }
  for (const auto& [run_id, member_id] : holders) {
    const Run& run = state.runs.at(run_id);
    desired.members.push_back(DesiredMemberOf(run, run.members.at(member_id)));
    if (!desired.specs.emplace(run_id, run.spec).second) continue;
    if (!run.live() || !GangReady(run)) continue;
    DesiredMembership membership{
        .run = run_id, .incarnation = run.incarnation, .members = run.gang, .full = run.spec.ranks};
    for (const MemberId id : run.gang) {
      membership.endpoints.push_back(run.members.at(id).endpoint);
    }
    desired.memberships.push_back(std::move(membership));
  }
  return desired;
}

}  // namespace longrun::fleet
