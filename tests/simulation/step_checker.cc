#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "simulation/checker.h"

namespace longrun::simulation {
namespace {

using fleet::Event;
using fleet::MemberId;
using fleet::Run;
using fleet::RunId;
using fleet::State;

// Older than this, a gang's last step is no proof that it was working when it was stopped.
constexpr Duration kWorking = Duration::Millis(1000);

class StepChecker : public Checker {
 public:
  StepChecker(const engine::World& world, Violations* violations)
      : world_(world), violations_(*violations) {}

  void OnApplied(const engine::Process& process, int64_t step) override {
    applied_[{process.run, process.member}] = step;
    applied_at_[process.run] = world_.now();
  }

  void OnFormed(const RunId& run, const engine::Group& group, int64_t step) override {
    formed_[{run, group.incarnation}] = step;
    for (const int64_t pid : group.pids) {
      applied_[{run, world_.processes()[pid - 1]->member}] = step;
    }
    const auto needed = needed_.find({run, group.incarnation});
    if (needed != needed_.end() && step < needed->second) {
      Fail(run, absl::StrCat("goes on from step ", step, " though a process held committed step ",
                             needed->second));
    }
    const auto thrown = thrown_away_.find(run);
    if (thrown != thrown_away_.end()) {
      if (step < thrown->second) {
        Fail(run,
             absl::StrCat("goes on from step ", step, " after processes that held committed step ",
                          thrown->second, " and worked were ended"));
      }
      thrown_away_.erase(thrown);
    }
  }

  void Before(const State& state, const Event& event) override {
    const Run* run = state.FindRun(fleet::RunOf(event.body));
    committed_before_ = run == nullptr ? 0 : run->committed_step;
    if (run == nullptr) return;
    if (std::holds_alternative<fleet::RunSubmitted>(event.body)) {
      CheckLost(*run);
      lost_[run->id] = 0;
      committed_before_ = 0;
    } else if (const auto* decided = std::get_if<fleet::IncarnationDecided>(&event.body)) {
      if (AnyHolder(*run, run->members)) {
        needed_[{run->id, decided->incarnation}] = run->committed_step;
      }
    } else if (const auto* stopped = std::get_if<fleet::MembersStopped>(&event.body)) {
      CheckInnocent(*run, *stopped);
      OnStopped(*run, *stopped);
    }
  }

  void After(const State& state, const Event& event) override {
    const Run* run = state.FindRun(fleet::RunOf(event.body));
    if (run == nullptr) return;
    if (const auto* joined = std::get_if<fleet::MemberJoined>(&event.body)) {
      const fleet::Member* member = run->Find(joined->member);
      if (member != nullptr && member->joined == joined->incarnation &&
          joined->incarnation == run->incarnation) {
        const auto formed = formed_.find({run->id, joined->incarnation});
        if (formed == formed_.end() || formed->second != joined->step) {
          Fail(run->id, "has a member that joined a group that never formed so");
        }
      }
      if (run->committed_step < committed_before_) {
        lost_[run->id] += committed_before_ - run->committed_step;
      }
    } else if (run->committed_step < committed_before_ &&
               !std::holds_alternative<fleet::RunSubmitted>(event.body)) {
      Fail(run->id, "uncommits steps without a new group");
    }
    if (!std::holds_alternative<fleet::MemberCommitted>(event.body)) return;
    if (run->committed_step == committed_before_) return;
    for (const MemberId id : run->gang) {
      const auto truth = applied_.find({run->id, id});
      if (truth == applied_.end() || truth->second < run->committed_step) {
        Fail(run->id, absl::StrCat("counts step ", run->committed_step,
                                   " as committed, which member ", id, " has not applied"));
      }
    }
  }

  void Settled(const State& state) override {
    for (const auto& [id, run] : state.runs) CheckLost(run);
  }

 private:
  // A process of these that truly holds the run's committed step, moves, and is believed sound.
  template <class Members>
  bool AnyHolder(const Run& run, const Members& members) const {
    if (!run.speaks_protocol || run.committed_step == 0) return false;
    return std::any_of(members.begin(), members.end(), [&](const auto& entry) {
      const fleet::Member& member = entry.second;
      if (!member.sound() || !member.has_state || member.applied_step < run.committed_step) {
        return false;
      }
      const engine::Process* process = Living(run.id, member.id);
      return process != nullptr && process->moves() && !process->stopping &&
             process->applied >= run.committed_step;
    });
  }

  // Where one rank stands still, those that said that they wait are not ended with it.
  void CheckInnocent(const Run& run, const fleet::MembersStopped& stopped) {
    if (run.cancel_requested || !run.live()) return;
    bool guilty = false;
    for (const MemberId id : run.gang) {
      const fleet::Member& member = *run.Find(id);
      if (member.clean_exit()) return;
      guilty = guilty || (member.sound() && !member.waiting);
    }
    for (const MemberId id : stopped.members) {
      const fleet::Member& member = run.members.at(id);
      if (guilty && member.rank >= 0 && member.waiting && member.sound()) {
        Fail(run.id, absl::StrCat("ends member ", id, ", which waits, for another that does not"));
      }
    }
  }

  // A gang may be given up when a rank has ended well (then all is on the disk), when it stood
  // still, or when the user wants it so.
  void OnStopped(const Run& run, const fleet::MembersStopped& stopped) {
    if (run.cancel_requested || !run.live()) return;
    if (world_.now() - applied_at_[run.id] > kWorking) return;
    for (const MemberId id : run.gang) {
      const fleet::Member* member = run.Find(id);
      if (member->clean_exit()) return;
      const engine::Process* process = Living(run.id, id);
      if (process != nullptr && process->stage == engine::Process::Stage::kFinishing) return;
    }
    std::map<MemberId, fleet::Member> ended;
    for (const MemberId id : stopped.members) ended.emplace(id, run.members.at(id));
    if (AnyHolder(run, ended)) thrown_away_[run.id] = run.committed_step;
  }

  void CheckLost(const Run& run) {
    if (lost_[run.id] != run.committed_steps_lost) {
      Fail(run.id, absl::StrCat("counts ", run.committed_steps_lost,
                                " committed steps lost, but lost ", lost_[run.id]));
      lost_[run.id] = run.committed_steps_lost;
    }
  }

  const engine::Process* Living(const RunId& run, MemberId member) const {
    for (const engine::Process* process : world_.living()) {
      if (process->member == member && process->run == run) return process;
    }
    return nullptr;
  }
  void Fail(const RunId& run, const std::string& what) {
    violations_.Add(world_.now(), absl::StrCat(run.text, " ", what));
  }

  const engine::World& world_;
  Violations& violations_;
  std::map<std::pair<RunId, MemberId>, int64_t> applied_;  // in truth
  std::map<RunId, Time> applied_at_;
  std::map<std::pair<RunId, uint64_t>, int64_t> formed_;
  std::map<std::pair<RunId, uint64_t>, int64_t> needed_;
  std::map<RunId, int64_t> thrown_away_;
  std::map<RunId, int64_t> lost_;
  int64_t committed_before_ = 0;
};

}  // namespace

std::unique_ptr<Checker> MakeStepChecker(const engine::World& world, Violations* violations) {
  return std::make_unique<StepChecker>(world, violations);
}

}  // namespace longrun::simulation
