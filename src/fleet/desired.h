// What a node should be doing, derived from the state: the whole of it, each time it changes.
//
// Whole and numbered, rather than commands one by one: an agent that missed a message, got it twice
// or late, or met a new controller, does the same right thing. A revision grows with the journal,
// so it grows across controllers too; an agent ignores one below what it has seen in its session.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fleet/state.h"

namespace longrun::fleet {

struct DesiredMember {
  RunId run;
  MemberId member = 0;
  enum class Do {
    kHold,  // keep its slots, start nothing (a spare of a program not known to speak the protocol)
    kRun,
    kStop,  // ask it to end, SIGKILL after `grace`
    kKill,
  } action = Do::kRun;
  // As of this revision; for the environment of a member that is yet to be started.
  std::vector<int> accelerators;
  uint64_t incarnation = 0;
  int rank = -1;
  int world = 0;
  int local_rank = 0;
  int local_world = 1;
  std::string master_address;
  int master_port = 0;

  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
    a("action", action);
    a("accelerators", accelerators);
    a("incarnation", incarnation);
    a("rank", rank);
    a("world", world);
    a("local_rank", local_rank);
    a("local_world", local_world);
    a("master_address", master_address);
    a("master_port", master_port);
  }
};

// Who is in the run's gang. Sent when every rank of it is ready, to all nodes that hold members of
// the run; each agent passes it to its members, spares included.
struct DesiredMembership {
  RunId run;
  uint64_t incarnation = 0;
  std::vector<MemberId> members;       // by rank
  std::vector<std::string> endpoints;  // by rank
  int full = 0;                        // ranks asked for

  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("incarnation", incarnation);
    a("members", members);
    a("endpoints", endpoints);
    a("full", full);
  }
};

struct NodeDesired {
  NodeId node;
  uint64_t session = 0;  // a node of another session ignores it
  uint64_t revision = 0;
  std::vector<DesiredMember> members;
  std::vector<DesiredMembership> memberships;
  std::map<RunId, RunSpec> specs;  // of the runs named above

  template <class A>
  void Visit(A& a) {
    a("node", node);
    a("session", session);
    a("revision", revision);
    a("members", members);
    a("memberships", memberships);
    a("specs", specs);
  }
};

NodeDesired DesiredOf(const State& state, const Node& node, uint64_t revision);

}  // namespace longrun::fleet
