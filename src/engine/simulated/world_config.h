// What the simulated world is made of: programs, nodes, and how slow and unreliable what lies
// between them is. Data alone; faults that strike are in chaos.h, and what users ask for is no part
// of the world.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "fleet/ids.h"

namespace longrun::engine {

// What a command does. A run's command names its program: {"train-3"}.
struct Program {
  bool speaks_protocol = true;
  Duration start_up = Duration::Millis(300);  // from exec to hello, or to the rendezvous
  int64_t steps = 20;                         // then it saves and exits 0
  Duration step = Duration::Millis(100);
  int64_t checkpoint_every_steps = 0;           // 0: none but the last
  Duration checkpoint = Duration::Millis(200);  // from snapshot to publication
  bool ignores_stop = false;
  // Ends itself `ends_after` its start-up, whatever the gang does: a broken program. With
  // `ends_first` n > 0 only the first n processes of a run do so.
  bool ends_itself = false;
  Duration ends_after = {};
  int ends_first = 0;
  int end_code = 1;
  int end_signal = 0;
  // Joins every membership by itself, at step 0, and does no steps: for the contract suite.
  bool joins_alone = false;
  bool says_waiting = true;  // tells when its peers keep it waiting
};

struct NodeConfig {
  fleet::NodeId id;
  int accelerators = 4;
  std::map<std::string, std::string> labels;
};

// Between agents and the controller. The stream keeps its order and may break; wishes may also be
// lost, told twice, or overtaken by newer ones.
struct NetworkConfig {
  Duration latency_min = Duration::Micros(200);
  Duration latency_max = Duration::Millis(3);
  Duration reconnect_after = Duration::Millis(200);
  double wish_lost = 0;
  double wish_twice = 0;
  double wish_late = 0;  // by up to a second
  double fact_twice = 0;
  double acknowledgement_lost = 0;
  double stream_breaks = 0;  // per message
};

// How processes take each other's ends.
struct GangConfig {
  Duration rebuild_min = Duration::Millis(20);  // from the last arrival to a formed group
  Duration rebuild_max = Duration::Millis(120);
  Duration skew = Duration::Millis(5);          // between ranks that end the same step
  Duration detect_max = Duration::Millis(300);  // a peer's death is noticed
  Duration long_wait = Duration::Millis(400);   // is told of
  double unnoticed = 0;  // a survivor does not notice, and waits in its collective
};

struct WorldConfig {
  uint64_t seed = 1;
  Time start = {1'000'000'000'000'000};
  std::vector<NodeConfig> nodes;
  std::map<std::string, Program> programs;
  NetworkConfig network;
  GangConfig gang;
  Duration node_boot = Duration::Millis(800);  // from power to the agent's first message
  Duration lost_after = Duration::Seconds(3);  // without a connection, the engine gives a node up
};

}  // namespace longrun::engine
