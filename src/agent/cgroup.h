// One cgroup (v2) per member, where the machine allows it: limits of memory and CPU, and one word
// that kills all that is in it, however deep it was forked.
//
// It does where the agent may make cgroups below its own, and limits where the controllers may be
// handed down, too. Where not, the reason is said once and members run without.
//
// Owned by the agent's loop.
#pragma once

#include <string>

#include "base/status.h"
#include "fleet/spec.h"

namespace longrun::agent {

class Cgroups {
 public:
  // `name`: of this agent's own cgroup, below the one it runs in. What an earlier agent of the same
  // name left in it is killed.
  explicit Cgroups(const std::string& name);
  ~Cgroups();
  Cgroups(const Cgroups&) = delete;
  Cgroups& operator=(const Cgroups&) = delete;

  // Makes the member's cgroup and returns its folder; empty where the machine does not allow it.
  std::string Make(const std::string& member, const fleet::Resources& resources);

  // The agent's own cgroup; empty where the machine does not allow it.
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  bool limits_memory_ = false;
  bool limits_cpu_ = false;
};

// Kills every process in the cgroup at once. Whether that could be said.
bool KillCgroup(const std::string& folder);
// No process is left in it.
bool CgroupEmpty(const std::string& folder);
// False while something is left in it.
bool RemoveCgroup(const std::string& folder);

}  // namespace longrun::agent
