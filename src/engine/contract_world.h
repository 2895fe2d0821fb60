// What the suite that every engine passes (contract.h) is given and looks with: an engine in a
// small world of its own, and a fixture that wishes and takes facts. It knows neither whether time
// is virtual nor whether processes are real: it waits by Engine::Observe and ContractWorld::Advance
// alone.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/time.h"
#include "engine/engine.h"
#include "gtest/gtest.h"

namespace longrun::engine {

// What a program of the suite does, once `delay` is over.
struct Behaviour {
  enum class Kind {
    kExit,        // exits with `code`
    kSignal,      // ends itself by `signal`
    kSleep,       // sleeps for ever; SIGTERM ends it, by default action or with code 0
    kIgnoreStop,  // sleeps for ever; SIGTERM is ignored
    // Speaks the rank protocol: hello, then, for each membership: one that gives it a rank it joins
    // (`joined step=0 source=start`), to one that does not it answers `say text=spare`. Exits with
    // code 0 on stop or SIGTERM.
    kRank,
    kMissing,  // the command does not exist
  } kind = Kind::kSleep;
  int code = 0;
  int signal = 0;
  Duration delay = {};
};

// An engine and its world: at least two nodes, up and joining, of at least four accelerators each.
class ContractWorld {
 public:
  virtual ~ContractWorld() = default;
  virtual Engine& engine() = 0;
  // Ids of the nodes.
  virtual std::vector<fleet::NodeId> nodes() = 0;
  virtual std::vector<std::string> CommandFor(const Behaviour& behaviour) = 0;
  // Lets the world go on for `d`.
  virtual void Advance(Duration d) = 0;
  // The world's clock.
  virtual Time Now() = 0;
  // How often a process of the member was started, and how many processes of members live on the
  // node: by the world's own count, not by what the engine tells.
  virtual int Starts(const fleet::RunId& run, fleet::MemberId member) = 0;
  virtual int Processes(const fleet::NodeId& node) = 0;
  // The node dies with all that is on it; and comes back, with nothing on it.
  virtual void KillNode(const fleet::NodeId& node) = 0;
  virtual void ReviveNode(const fleet::NodeId& node) = 0;
  // The controller dies and another one starts: engine() is a new object afterwards, which has not
  // been told yet whom to expect. Nodes and their processes stay.
  virtual void RestartController() = 0;
  // Within this time everything that should happen has happened (a node is told lost, too).
  virtual Duration Bound() = 0;
};

using MakeContractWorld = std::unique_ptr<ContractWorld> (*)();

class EngineContract : public testing::TestWithParam<MakeContractWorld> {
 protected:
  using Do = fleet::DesiredMember::Do;

  void SetUp() override {
    world_ = GetParam()();
    world_->engine().Expect({});
    nodes_ = world_->nodes();
    ASSERT_GE(nodes_.size(), 2u);
    ASSERT_TRUE(ObserveUntil([&] { return sessions_.size() == nodes_.size(); }))
        << "the nodes did not join";
    for (const fleet::NodeId& node : nodes_) desired_[node] = Empty(node);
  }

  // ---- what was told
  // -----------------------------------------------------------------------------

  // Takes facts until `done` or the world's bound; acknowledges them unless told not to.
  bool ObserveUntil(const std::function<bool()>& done) {
    const Time end = world_->Now() + world_->Bound();
    while (!done()) {
      if (world_->Now() >= end) return false;
      ObserveOnce(Duration::Millis(50));
    }
    return true;
  }
  void ObserveFor(Duration d) {
    const Time end = world_->Now() + d;
    while (world_->Now() < end) ObserveOnce(Duration::Millis(50));
  }
  void ObserveOnce(Duration patience) {
    for (fleet::Event& event : world_->engine().Observe(patience)) Take(std::move(event));
  }
  void Take(fleet::Event event) {
    const fleet::Source& source = event.source;
    if (!source.node.empty()) {
      const bool repeated = !told_.emplace(source.node, source.session, source.seq).second;
      uint64_t& newest = newest_[{source.node, source.session}];
      // Repeated, yes; with a hole, never.
      EXPECT_LE(source.seq, newest + 1) << source.node << " left out a fact";
      newest = std::max(newest, source.seq);
      if (acknowledge_) world_->engine().Acknowledge(source.node, source.session, source.seq);
      if (repeated) return;
    }
    if (const auto* joined = std::get_if<fleet::NodeJoined>(&event.body)) {
      EXPECT_EQ(source.node, joined->node);
      EXPECT_EQ(source.session, joined->session);
      sessions_[joined->node] = std::max(sessions_[joined->node], joined->session);
    }
    if (const auto* lost = std::get_if<fleet::NodeLost>(&event.body)) {
      lost_[lost->node] = lost->session;
    }
    events_.push_back(std::move(event));
  }

  // The first fact of kind T about the member, or null. Facts told twice count once.
  template <class T>
  const T* Told(fleet::MemberId member, const std::string& run = "run") const {
    for (const fleet::Event& event : events_) {
      const T* body = std::get_if<T>(&event.body);
      if (body != nullptr && body->member == member && body->run.text == run) return body;
    }
    return nullptr;
  }
  template <class T>
  bool WaitFor(fleet::MemberId member) {
    return ObserveUntil([&] { return Told<T>(member) != nullptr; });
  }

  // ---- what is wished
  // ----------------------------------------------------------------------------

  fleet::NodeDesired Empty(const fleet::NodeId& node) {
    fleet::NodeDesired desired;
    desired.node = node;
    desired.session = sessions_[node];
    return desired;
  }
  const fleet::NodeId& node() const { return nodes_[0]; }

  // The spec of a run of one command; each behaviour of a test is a run of its own name.
  fleet::RunSpec Spec(const Behaviour& behaviour, const std::string& run = "run") {
    fleet::RunSpec spec;
    spec.name = fleet::RunId(run);
    spec.ranks = 1;
    spec.command = world_->CommandFor(behaviour);
    spec.grace = Duration::Millis(300);
    spec.silent_after = Duration::Millis(500);
    return spec;
  }
  // Puts a member among what node `n` should do; Wish() sends it.
  fleet::DesiredMember& Want(const fleet::RunSpec& spec, fleet::MemberId member, Do action,
                             size_t n = 0) {
    fleet::NodeDesired& desired = desired_[nodes_[n]];
    desired.specs[spec.name] = spec;
    for (fleet::DesiredMember& m : desired.members) {
      if (m.run == spec.name && m.member == member) {
        m.action = action;
        return m;
      }
    }
    fleet::DesiredMember m;
    m.run = spec.name;
    m.member = member;
    m.action = action;
    m.accelerators = {static_cast<int>(desired.members.size()) % 4};
    m.incarnation = 1;
    m.rank = static_cast<int>(member) - 1;
    m.world = 1;
    m.master_address = "127.0.0.1";
    m.master_port = 29500;
    desired.members.push_back(m);
    return desired.members.back();
  }
  void Wish(size_t n = 0) {
    fleet::NodeDesired& desired = desired_[nodes_[n]];
    desired.revision = ++revision_;
    world_->engine().Apply(desired);
  }
  // Wishes are messages that may be lost: they are repeated until the facts agree.
  template <class T>
  bool WishUntilTold(fleet::MemberId member, size_t n = 0) {
    Wish(n);
    Time sent = world_->Now();
    return ObserveUntil([&] {
      if (world_->Now() - sent > Duration::Millis(500)) {
        world_->engine().Apply(desired_[nodes_[n]]);
        sent = world_->Now();
      }
      return Told<T>(member) != nullptr;
    });
  }
  int StartsOf(fleet::MemberId member, const std::string& run = "run") {
    return world_->Starts(fleet::RunId(run), member);
  }
  // The node as a journal would know it.
  fleet::Node Known(const fleet::NodeId& id, bool up) {
    fleet::Node node;
    node.id = id;
    node.session = sessions_[id];
    node.up = up;
    return node;
  }

  std::unique_ptr<ContractWorld> world_;
  std::vector<fleet::NodeId> nodes_;
  std::vector<fleet::Event> events_;
  std::set<std::tuple<fleet::NodeId, uint64_t, uint64_t>> told_;
  std::map<std::pair<fleet::NodeId, uint64_t>, uint64_t> newest_;
  std::map<fleet::NodeId, uint64_t> sessions_;
  std::map<fleet::NodeId, uint64_t> lost_;
  std::map<fleet::NodeId, fleet::NodeDesired> desired_;
  uint64_t revision_ = 100;
  bool acknowledge_ = true;
};

}  // namespace longrun::engine
