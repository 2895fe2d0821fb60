#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "simulation/checker.h"

namespace longrun::simulation {
namespace {

using fleet::Event;
using fleet::State;

class SlotChecker : public Checker {
 public:
  SlotChecker(const engine::World& world, Violations* violations)
      : world_(world), violations_(*violations) {}

  void OnStart(const engine::Process& process) override {
    const auto key = std::make_pair(process.run, process.member);
    if (!started_.insert(key).second) Fail(process, "was started a second time");
    const auto placed = placed_.find(key);
    if (placed == placed_.end()) {
      Fail(process, "was started but never placed");
    } else if (placed->second.node != world_.config().nodes[process.node].id ||
               placed->second.accelerators != process.slots) {
      Fail(process, "was started elsewhere than it was placed");
    }
    for (const int slot : process.slots) {
      const auto [it, free] = used_.try_emplace({process.node, slot}, &process);
      if (!free) {
        Fail(process, absl::StrCat("was started on accelerator ", slot, " of node ", process.node,
                                   ", which ", it->second->Name(), " is using"));
      }
    }
  }

  void OnEnd(const engine::Process& process) override {
    for (const int slot : process.slots) used_.erase({process.node, slot});
  }

  void Before(const State&, const Event& event) override {
    if (const auto* decided = std::get_if<fleet::IncarnationDecided>(&event.body)) {
      for (const auto& placement : decided->placed) Place(decided->run, placement);
    } else if (const auto* reserve = std::get_if<fleet::ReservePlaced>(&event.body)) {
      for (const auto& placement : reserve->placed) Place(reserve->run, placement);
    } else if (const auto* exited = std::get_if<fleet::MemberExited>(&event.body)) {
      const auto it = placed_.find({exited->run, exited->member});
      if (it != placed_.end() && it->second.node == event.source.node) {
        Free({exited->run, exited->member});
      }
    } else if (const auto* lost = std::get_if<fleet::NodeLost>(&event.body)) {
      if (sessions_[lost->node] == lost->session) FreeNode(lost->node);
    } else if (const auto* joined = std::get_if<fleet::NodeJoined>(&event.body)) {
      if (joined->session > sessions_[joined->node]) {
        sessions_[joined->node] = joined->session;
        FreeNode(joined->node);
      }
    }
  }

 private:
  using Key = std::pair<fleet::RunId, fleet::MemberId>;

  void Place(const fleet::RunId& run, const fleet::Placement& placement) {
    const Key key{run, placement.member};
    if (!placed_.try_emplace(key, placement).second) {
      violations_.Add(world_.now(),
                      absl::StrCat(run.text, "/", placement.member, " was placed a second time"));
    }
    for (const int slot : placement.accelerators) {
      const auto [it, free] = given_.try_emplace({placement.node, slot}, key);
      if (!free) {
        violations_.Add(world_.now(),
                        absl::StrCat("accelerator ", slot, " of ", placement.node.text,
                                     " was given to ", run.text, "/", placement.member, " and to ",
                                     it->second.first.text, "/", it->second.second));
      }
    }
  }
  void Free(const Key& key) {
    std::erase_if(given_, [&](const auto& entry) { return entry.second == key; });
  }
  void FreeNode(const fleet::NodeId& node) {
    std::erase_if(given_, [&](const auto& entry) { return entry.first.first == node; });
  }
  void Fail(const engine::Process& process, const std::string& what) {
    violations_.Add(world_.now(), absl::StrCat(process.Name(), " ", what));
  }

  const engine::World& world_;
  Violations& violations_;
  std::map<std::pair<int, int>, const engine::Process*> used_;
  std::set<Key> started_;
  std::map<Key, fleet::Placement> placed_;
  std::map<std::pair<fleet::NodeId, int>, Key> given_;
  std::map<fleet::NodeId, uint64_t> sessions_;
};

}  // namespace

std::unique_ptr<Checker> MakeSlotChecker(const engine::World& world, Violations* violations) {
  return std::make_unique<SlotChecker>(world, violations);
}

}  // namespace longrun::simulation
