// The environment of a rank: docs/rank-protocol.md, the table of variables.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fleet/desired.h"

namespace longrun::agent {

// What of it is the same for every member of the node.
struct NodeFacts {
  std::string node;
  std::string socket_path;
  std::string program_folder;  // of the longrun binary; searched after PATH
  bool nvidia = false;         // the machine has NVIDIA devices
};

// "NAME=value", sorted by name: the agent's own environment, then the manifest's `env`, then the
// contract's variables, each over the one before. Variables of the contract that the agent itself
// was started with never pass.
std::vector<std::string> RankEnvironment(const std::map<std::string, std::string>& inherited,
                                         const fleet::RunSpec& spec,
                                         const fleet::DesiredMember& member, const NodeFacts& facts,
                                         const std::string& run_folder);

// This process's.
std::map<std::string, std::string> OwnEnvironment();

// The entry that every process of this node's ranks has; leftovers are known by it.
std::string SocketMark(const std::string& socket_path);

}  // namespace longrun::agent
