#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "simulation/checker.h"

namespace longrun::simulation {
namespace {

using fleet::Event;
using fleet::MemberId;
using fleet::RunId;
using fleet::State;

class AccountsChecker : public Checker {
 public:
  AccountsChecker(const engine::World& world, Violations* violations)
      : world_(world), violations_(*violations) {}

  void Before(const State& state, const Event& event) override {
    const Time now = std::max(state.now, event.at);
    if (const auto* submitted = std::get_if<fleet::RunSubmitted>(&event.body)) {
      const fleet::Run* before = state.FindRun(submitted->spec.name);
      if (before != nullptr) Check(*before, now);
      ended_[submitted->spec.name] = 0;
      // What is left of an earlier run of this name counts for the new one from here on.
      for (auto& [key, holding] : holding_) {
        if (key.first == submitted->spec.name) holding.since = now;
      }
    } else if (const auto* decided = std::get_if<fleet::IncarnationDecided>(&event.body)) {
      for (const auto& placement : decided->placed) Place(decided->run, placement, now);
    } else if (const auto* reserve = std::get_if<fleet::ReservePlaced>(&event.body)) {
      for (const auto& placement : reserve->placed) Place(reserve->run, placement, now);
    } else if (const auto* exited = std::get_if<fleet::MemberExited>(&event.body)) {
      const auto it = holding_.find({exited->run, exited->member});
      if (it != holding_.end() && it->second.node == event.source.node) End(it, now);
    } else if (const auto* lost = std::get_if<fleet::NodeLost>(&event.body)) {
      if (sessions_[lost->node] == lost->session) EndNode(lost->node, now);
    } else if (const auto* joined = std::get_if<fleet::NodeJoined>(&event.body)) {
      if (joined->session <= sessions_[joined->node]) return;
      sessions_[joined->node] = joined->session;
      EndNode(joined->node, now);
    }
  }

  void Settled(const State& state) override {
    for (const auto& [id, run] : state.runs) Check(run, state.now);
  }

 private:
  struct Holding {
    fleet::NodeId node;
    int64_t slots;
    Time since;
  };
  using Holdings = std::map<std::pair<RunId, MemberId>, Holding>;

  void Place(const RunId& run, const fleet::Placement& placement, Time now) {
    holding_[{run, placement.member}] = {placement.node,
                                         static_cast<int64_t>(placement.accelerators.size()), now};
  }
  Holdings::iterator End(Holdings::iterator it, Time now) {
    ended_[it->first.first] += it->second.slots * (now - it->second.since).us;
    return holding_.erase(it);
  }
  void EndNode(const fleet::NodeId& node, Time now) {
    for (auto it = holding_.begin(); it != holding_.end();) {
      it = it->second.node == node ? End(it, now) : std::next(it);
    }
  }

  void Check(const fleet::Run& run, Time now) {
    int64_t held = ended_[run.id];
    for (auto it = holding_.lower_bound({run.id, 0});
         it != holding_.end() && it->first.first == run.id; ++it) {
      held += it->second.slots * (now - it->second.since).us;
    }
    const fleet::Accounts accounts = fleet::AccountsAt(run, now);
    if (accounts.held != held) {
      Fail(run.id,
           absl::StrCat("held ", held, " slot-microseconds, but its accounts say ", accounts.held));
    }
    if (accounts.Sum() != accounts.held) {
      Fail(run.id,
           absl::StrCat("has accounts that add up to ", accounts.Sum(), " of ", accounts.held));
    }
    for (const int64_t part : {accounts.productive, accounts.recomputed, accounts.restarting,
                               accounts.waiting, accounts.degraded}) {
      if (part < 0) Fail(run.id, "has a negative account");
    }
    if (run.spec.elastic_min == 0 && accounts.degraded != 0) {
      Fail(run.id, "is not elastic, but worked degraded");
    }
  }
  void Fail(const RunId& run, const std::string& what) {
    violations_.Add(world_.now(), absl::StrCat(run.text, " ", what));
  }

  const engine::World& world_;
  Violations& violations_;
  Holdings holding_;
  std::map<RunId, int64_t> ended_;
  std::map<fleet::NodeId, uint64_t> sessions_;
};

}  // namespace

std::unique_ptr<Checker> MakeAccountsChecker(const engine::World& world, Violations* violations) {
  return std::make_unique<AccountsChecker>(world, violations);
}

}  // namespace longrun::simulation
