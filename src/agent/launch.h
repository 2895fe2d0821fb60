// Starts one process in a session (hence a process group) of its own.
//
// The kernel kills it when the thread that called Launch ends, so that thread must live as long as
// the agent: call it from the agent's loop alone.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace longrun::agent {

struct LaunchOrder {
  std::vector<std::string> command;      // as in the manifest; not empty
  std::vector<std::string> environment;  // "NAME=value"; its PATH is searched
  std::string working_folder;            // empty: the agent's
  int output_fd = -1;
  int error_fd = -1;
  int cgroup_fd = -1;  // the folder of the cgroup (v2) to start in; -1: none
};

// Either pid > 0, or why not, as a shell would say it: 127 not found, 126 found but cannot run.
struct Launched {
  int pid = -1;
  int code = 0;
  std::string what;
};

// Returns when the program runs, or when it is certain that it does not.
Launched Launch(const LaunchOrder& order);

}  // namespace longrun::agent
