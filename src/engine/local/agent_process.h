// An agent as a process of this machine: started so that it outlives its controller, found again by
// a later one, and never leaving anything behind.
//
// The folder of a node is the agent's state folder (agent/agent.h says what lies in it).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace longrun::engine {

struct AgentProcess {
  int pid = -1;
  int pidfd = -1;        // becomes readable when the process ends; whoever holds this closes it
  bool child = false;    // of this process: to be waited for
  uint64_t session = 0;  // newest it has written down; 0: none yet
};

// `command`: program and all its arguments.
absl::StatusOr<AgentProcess> SpawnAgent(const std::vector<std::string>& command,
                                        const std::string& node_folder);

// The living agent of the node, if there is one.
std::optional<AgentProcess> FindAgent(const std::string& node_folder);

void SignalAgent(const AgentProcess& agent, int signal);

// After the process's end: closes the pidfd, reaps a child, and says how it ended ("was killed by
// signal 9").
std::string BuryAgent(AgentProcess& agent);

// Kills all that a dead agent left. An error: something would not die, try again.
absl::Status SweepNode(const std::string& node_folder);

}  // namespace longrun::engine
