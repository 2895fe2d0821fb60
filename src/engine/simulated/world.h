// The simulated world: nodes with their agents, processes, the groups they form, a shared disk; on
// virtual time, from one seed, on one thread. It outlives the controllers, each of which sees it
// through a SimulatedEngine of its own. Besides, it holds the truth, which tests compare with what
// Longrun believes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/simulated/agent.h"
#include "engine/simulated/groups.h"
#include "engine/simulated/process.h"
#include "engine/simulated/timeline.h"
#include "engine/simulated/world_config.h"

namespace longrun::engine {

class SimulatedEngine;

// Told of what truly happens, at the moment it does. `step` of OnFormed: what the group goes on
// from.
class WorldObserver {
 public:
  virtual ~WorldObserver() = default;
  virtual void OnStart(const Process&) {}
  virtual void OnEnd(const Process&) {}
  virtual void OnFormed(const fleet::RunId&, const Group&, int64_t step) {}
  virtual void OnApplied(const Process&, int64_t step) {}
};

class World {
 public:
  explicit World(WorldConfig config);

  Time now() const { return timeline_.now(); }
  Timeline& timeline() { return timeline_; }
  Random& random() { return random_; }
  const WorldConfig& config() const { return config_; }
  WorldConfig& mutable_config() { return config_; }  // networks heal
  Groups& groups() { return groups_; }
  const Groups& groups() const { return groups_; }
  Agent& agent(int node) { return *agents_[node]; }
  int node_count() const { return static_cast<int>(agents_.size()); }
  // Index of a node; -1 where there is none of that name.
  int NodeIndex(const fleet::NodeId& node) const;
  void Observe(WorldObserver* observer) { observers_.push_back(observer); }
  // Every event of the world in words, for people.
  void Trace(std::function<void(const std::string&)> trace) { trace_ = std::move(trace); }
  bool tracing() const { return trace_ != nullptr; }
  void Say(const std::string& what) const {
    if (trace_) trace_(what);
  }

  // ---- processes
  // ---------------------------------------------------------------------------------

  // By pid, from 1; those that are gone, too.
  const std::vector<std::unique_ptr<Process>>& processes() const { return processes_; }
  const std::vector<Process*>& living() const { return living_; }
  Process* Find(int64_t pid) { return processes_[pid - 1].get(); }
  // The living process of a member, or null.
  Process* Find(const fleet::RunId& run, fleet::MemberId member);
  std::vector<Process*> Living(int node) const;
  std::vector<Process*> Living(const fleet::RunId& run) const;
  int Starts(const fleet::RunId& run, fleet::MemberId member) const;
  Process& Start(Process process);
  // Ends a process; its agent learns of it when `tell`.
  void End(Process& process, int code, int signal, bool tell = true);
  // What a process tells its agent.
  void Tell(const Process& process, fleet::EventBody body);

  // ---- faults
  // ------------------------------------------------------------------------------------

  void Hang(Process& process);
  void Resume(Process& process);
  // Power cut: everything on the node is gone; it boots `repair` later.
  void KillNode(int node, Duration repair);
  // The agent alone; its processes run on unwatched until it is back.
  void KillAgent(int node, Duration restart);
  // Cut off from the controller and, with `peers`, from all other nodes.
  void Cut(int node, bool peers, Duration length);
  bool CutFromPeers(int node) const { return peers_cut_[node] > 0; }
  bool CutFromControl(int node) const { return control_cut_[node] > 0; }

  // ---- the controller's end
  // ----------------------------------------------------------------------

  // The engine of the controller that runs now; null while none does.
  SimulatedEngine* engine() { return engine_; }
  void SetEngine(SimulatedEngine* engine) { engine_ = engine; }

  void OnApplied(const Process& process, int64_t step);
  void OnFormed(const fleet::RunId& run, const Group& group, int64_t step);
  Duration Between(Duration lo, Duration hi) { return {random_.Between(lo.us, hi.us)}; }
  Duration Latency();
  uint64_t NextSession() { return ++sessions_; }
  uint64_t NextGeneration() { return ++generations_; }
  // A hash of all that truly happened so far.
  uint64_t history() const { return history_; }
  void Mix(uint64_t value) { history_ = Mix64(history_ ^ value) + 0x9e3779b97f4a7c15ull; }

 private:
  void Loaded(Process& process);

  WorldConfig config_;
  Timeline timeline_;
  Random random_;
  Groups groups_;
  std::vector<std::unique_ptr<Agent>> agents_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<Process*> living_;
  std::map<fleet::RunId, int> started_;
  std::vector<int> control_cut_;
  std::vector<int> peers_cut_;
  std::vector<WorldObserver*> observers_;
  std::function<void(const std::string&)> trace_;
  SimulatedEngine* engine_ = nullptr;
  uint64_t history_ = 0;
  uint64_t sessions_ = 0;
  uint64_t generations_ = 0;
};

}  // namespace longrun::engine
