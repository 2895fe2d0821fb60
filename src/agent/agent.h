// The agent of one node: starts ranks, listens to them, tells control what happens, keeps them
// running while control is away, and leaves nothing behind.
//
// One thread, a loop over processes, sockets and timers (event_loop.h), does it all; gRPC's threads
// carry bytes for control_link.h. ARCHITECTURE.md draws it.
//
// In its state folder: `agent` (a ProcessRecord; its tag is the session), `lock`, `mark` (what the
// environment of every process of its ranks holds), `cgroup` (where they are), `members/` (a
// ProcessRecord of each rank's process group), `rank.sock`, `agent.log`. Whoever finds the agent
// dead kills what these name.
#pragma once

#include "agent/options.h"

namespace longrun::agent {

// Until told to end (by control, SIGTERM or SIGINT) or until no controller has been heard of for
// `orphan_after`. The process's exit code: 0, or 1 when it could not start, with a message on
// standard error. Blocks signals in the calling thread, which must be the process's only one.
int Main(const Options& options);

}  // namespace longrun::agent
