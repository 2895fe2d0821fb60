// Faults that strike by themselves, as rates: the part of a scenario that the workload knows
// nothing of.
#pragma once

#include <cstdint>
#include <vector>

#include "base/random.h"
#include "engine/simulated/world.h"

namespace longrun::engine {

// Mean time between two faults of a kind, over the whole fleet; 0: that kind does not happen.
struct ChaosConfig {
  Duration rank_death = {};
  Duration two_deaths = {};   // at once, or a little apart: during the recovery from the first
  Duration gang_death = {};   // all processes of a run
  Duration hang = {};         // stopped for good
  Duration pause = {};        // stopped for a while
  Duration wedge = {};        // the main thread alone stands still
  Duration group_break = {};  // the network between ranks
  Duration node_death = {};
  Duration rack_death = {};  // all nodes of one rack
  Duration agent_death = {};
  Duration control_cut = {};  // a node and the controller do not hear each other
  Duration full_cut = {};     // nor does it hear the other nodes
  Duration stream_break = {};
  Duration repair_min = Duration::Seconds(1);  // of a node
  Duration repair_max = Duration::Seconds(8);

  // A random half of the kinds, at random rates around `mean`.
  static ChaosConfig Draw(Random& random, Duration mean);
};

class Chaos {
 public:
  // `world` must outlive it, and it the world's use.
  Chaos(World* world, ChaosConfig config, uint64_t seed);
  // No fault strikes any more; the network is perfect, processes that were stopped go on.
  void Stop();
  int64_t faults() const { return faults_; }

 private:
  using Strike = void (Chaos::*)();
  void Schedule(Duration mean, Strike strike);
  Process* AnyProcess();
  void RankDeath();
  void TwoDeaths();
  void GangDeath();
  void Hang();
  void Pause();
  void Wedge();
  void GroupBreak();
  void NodeDeath();
  void RackDeath();
  void AgentDeath();
  void ControlCut();
  void FullCut();
  void StreamBreak();
  int AnyNode();

  World& world_;
  const ChaosConfig config_;
  Random random_;
  bool stopped_ = false;
  int64_t faults_ = 0;
};

}  // namespace longrun::engine
