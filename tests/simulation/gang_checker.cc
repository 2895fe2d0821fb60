#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "simulation/checker.h"

namespace longrun::simulation {
namespace {

using fleet::Event;
using fleet::MemberId;
using fleet::State;

class GangChecker : public Checker {
 public:
  GangChecker(const engine::World& world, Violations* violations)
      : world_(world), violations_(*violations) {}

  void Before(const State& state, const Event& event) override {
    const auto* decided = std::get_if<fleet::IncarnationDecided>(&event.body);
    if (decided == nullptr) return;
    const fleet::Run* run = state.FindRun(decided->run);
    if (run == nullptr) return Fail(decided->run, "has a gang but was never submitted");
    const fleet::RunSpec& spec = run->spec;
    gangs_[{decided->run, decided->incarnation}] = {decided->gang, spec.ranks, spec.elastic_min};
    CheckSize(decided->run, decided->gang.size(), spec.ranks, spec.elastic_min);
    if (run->incarnation + 1 != decided->incarnation) {
      Fail(decided->run, "does not count its incarnations one by one");
    }
    std::map<MemberId, fleet::NodeId> where;
    for (const auto& placement : decided->placed) where[placement.member] = placement.node;
    for (const auto& [id, member] : run->members) {
      if (member.alive() && !member.silent && !member.stopping) where[id] = member.node;
    }
    std::set<MemberId> seen;
    std::set<std::string> domains;
    for (const MemberId id : decided->gang) {
      if (!seen.insert(id).second) Fail(decided->run, "has a member twice in its gang");
      const auto it = where.find(id);
      if (it == where.end()) {
        Fail(decided->run, absl::StrCat("takes member ", id, " into its gang, which is gone"));
        continue;
      }
      const fleet::Node* node = state.FindNode(it->second);
      if (node == nullptr || !node->up) {
        Fail(decided->run, "has a rank on a node that is down");
        continue;
      }
      if (spec.within == "node") domains.insert(node->id.text);
      if (spec.within == "rack") domains.insert(node->labels.at("rack"));
    }
    // Spares that were asked to wait elsewhere may take a rank there.
    const bool anew =
        decided->rung == fleet::Rung::kStart || decided->rung == fleet::Rung::kRestartGang;
    if (domains.size() > 1 && (anew || spec.spares_where.empty()))
      Fail(decided->run, "does not stay within one " + spec.within);
  }

  void Settled(const State& state) override {
    for (const auto& [id, run] : state.runs) {
      if (!run.live()) continue;
      if (run.phase == fleet::Phase::kRunning) {
        for (const MemberId member : run.gang) {
          const fleet::Member* m = run.Find(member);
          if (m == nullptr || !(m->sound() || m->clean_exit())) {
            Fail(id, absl::StrCat("runs without member ", member, " of its gang"));
          }
        }
      }
      if (!run.gang.empty()) continue;
      for (const auto& [member, m] : run.members) {
        if (m.sound() && m.placed_at >= run.submitted) Fail(id, "holds slots without a gang");
      }
    }
  }

  void OnFormed(const fleet::RunId& run, const engine::Group& group, int64_t) override {
    const auto it = gangs_.find({run, group.incarnation});
    if (it == gangs_.end()) {
      return Fail(run, absl::StrCat("computes in incarnation ", group.incarnation,
                                    ", which nobody decided"));
    }
    std::vector<MemberId> members;
    for (const int64_t pid : group.pids) {
      const engine::Process& process = *world_.processes()[pid - 1];
      if (!process.alive()) Fail(run, "computes with a process that is gone");
      members.push_back(process.member);
    }
    if (members != it->second.members) {
      Fail(run, absl::StrCat("computes in incarnation ", group.incarnation,
                             " with other members than were decided"));
    }
    CheckSize(run, members.size(), it->second.ranks, it->second.elastic_min);
  }

 private:
  struct Gang {
    std::vector<MemberId> members;
    int ranks;
    int elastic_min;
  };
  void CheckSize(const fleet::RunId& run, size_t size, int ranks, int elastic_min) {
    const int n = static_cast<int>(size);
    if (n == ranks || (elastic_min > 0 && n >= elastic_min && n < ranks)) return;
    Fail(run, absl::StrCat("has a gang of ", n, " where ", ranks, " (at least ", elastic_min,
                           ") were asked for"));
  }
  void Fail(const fleet::RunId& run, const std::string& what) {
    violations_.Add(world_.now(), absl::StrCat(run.text, " ", what));
  }

  const engine::World& world_;
  Violations& violations_;
  std::map<std::pair<fleet::RunId, uint64_t>, Gang> gangs_;
};

}  // namespace

std::unique_ptr<Checker> MakeGangChecker(const engine::World& world, Violations* violations) {
  return std::make_unique<GangChecker>(world, violations);
}

}  // namespace longrun::simulation
