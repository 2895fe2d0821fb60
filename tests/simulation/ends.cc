// Liveness: what must have come about some time after the last fault.
#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "simulation/checker.h"

namespace longrun::simulation {
namespace {

using fleet::Phase;
using fleet::Run;

const engine::Program* ProgramOf(const Scenario& scenario, const fleet::RunSpec& spec) {
  const auto it = scenario.world.programs.find(spec.command[0]);
  return it == scenario.world.programs.end() ? nullptr : &it->second;
}

bool Hopeless(const engine::Program* program) {
  return program == nullptr || (program->ends_itself && program->ends_first == 0);
}

}  // namespace

void Violations::Add(Time at, const std::string& what) {
  if (all_.size() < 20) all_.push_back(absl::StrCat(FormatTime(at).substr(11), " ", what));
}

bool Feasible(const Scenario& scenario, const fleet::RunSpec& spec) {
  std::map<std::string, int> room;
  for (const engine::NodeConfig& node : scenario.world.nodes) {
    int fits = node.accelerators / std::max(1, spec.resources.accelerators);
    if (spec.resources.cpu_milli > 0) {
      fits = std::min(fits, static_cast<int>(1000 * node.accelerators / spec.resources.cpu_milli));
    }
    const std::string domain = spec.within == "node"   ? node.id.text
                               : spec.within == "rack" ? node.labels.at("rack")
                                                       : "";
    room[domain] += fits;
  }
  const int least = spec.elastic_min > 0 ? spec.elastic_min : spec.ranks;
  return std::any_of(room.begin(), room.end(),
                     [&](const auto& domain) { return domain.second >= least; });
}

std::vector<std::string> Unfinished(const Scenario& scenario, const fleet::State& state,
                                    const engine::World& world) {
  std::vector<std::string> left;
  for (const auto& [id, run] : state.runs) {
    if (!run.live() || !Feasible(scenario, run.spec)) continue;
    left.push_back(absl::StrCat(id.text, " is ", fleet::PhaseName(run.phase), " at step ",
                                run.committed_step, ": ", run.reason));
  }
  for (const engine::Process* process : world.living()) {
    left.push_back(absl::StrCat(process->Name(), " still runs on node ", process->node));
  }
  for (const auto& [id, node] : state.nodes) {
    if (!node.up) left.push_back(absl::StrCat(id.text, " is still down: ", node.lost_reason));
    for (const fleet::Holder& holder : node.slots) {
      if (holder.run.empty()) continue;
      left.push_back(
          absl::StrCat(holder.run.text, "/", holder.member, " still holds a slot of ", id.text));
    }
  }
  return left;
}

void CheckEnds(const Scenario& scenario, const fleet::State& state, const engine::World& world,
               Time healed, Violations* violations) {
  for (const auto& [id, run] : state.runs) {
    const auto fail = [&](const std::string& what) {
      violations->Add(state.now, absl::StrCat(id.text, " ", what, ": ", run.reason));
    };
    const engine::Program* program = ProgramOf(scenario, run.spec);
    switch (run.phase) {
      case Phase::kSucceeded:
        if (Hopeless(program)) {
          fail("succeeded with a program that cannot");
        } else if (world.groups().DiskStep(id) < program->steps) {
          // What was saved counts: the news of the last steps may have come too late.
          fail(absl::StrCat("succeeded with step ", world.groups().DiskStep(id), " of ",
                            program->steps, " saved"));
        }
        if (!Feasible(scenario, run.spec)) fail("succeeded where there is no room for it");
        break;
      case Phase::kFailed:
        // A sound program fails by faults alone, and those are over; a wedged rank alone is found
        // late.
        if (!Hopeless(program) && !program->ends_itself && scenario.chaos.wedge.us == 0 &&
            run.finished > healed + Duration::Seconds(30)) {
          fail("failed long after the last fault");
        }
        break;
      case Phase::kCancelled:
        if (!run.cancel_requested) fail("was cancelled by nobody");
        break;
      default:
        if (Feasible(scenario, run.spec)) fail("is not over");
        if (!run.gang.empty()) fail("has a gang that there is no room for");
    }
  }
}

}  // namespace longrun::simulation
