// Processes as /proc shows them, and records of those that must not outlive us unnoticed.
//
// A process number alone names nobody: numbers are used again. A record therefore holds the start
// time and the boot too, and nothing is ever signalled whose start time is another.
//
// No state; any thread may call any function.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace longrun {

struct ProcessInfo {
  int pid = 0;
  int parent = 0;
  int group = 0;
  int session = 0;
  char state = '?';          // R, S, D, T (stopped), t (traced), Z (zombie) …
  uint64_t start_ticks = 0;  // since the machine's boot
};

// Nothing when there is no such process.
std::optional<ProcessInfo> ReadProcess(int pid);
// Every process there is to see.
std::vector<ProcessInfo> AllProcesses();
// Whether the process was started with `entry` ("NAME=value") in its environment. False where its
// environment may not be read.
bool EnvironmentHas(int pid, std::string_view entry);
// Changes with each boot of the machine.
const std::string& BootId();

// A process on disk: it can be found again, and told from a later one with the same number.
struct ProcessRecord {
  int pid = 0;
  uint64_t start_ticks = 0;
  std::string boot;
  uint64_t tag = 0;  // the writer's own

  bool alive() const;  // this very process; a zombie is not
};

// Of a process that runs now.
absl::StatusOr<ProcessRecord> RecordOf(int pid, uint64_t tag);
// Not flushed to disk: after a reboot it would mean nothing anyway.
absl::Status WriteProcessRecord(const std::string& path, const ProcessRecord& record);
absl::StatusOr<ProcessRecord> ReadProcessRecord(const std::string& path);

// Kills what is left of the process groups recorded in `folder` (their leaders' records), and every
// process that has `mark` ("NAME=value") in its environment, waits up to `patience` until they are
// gone and removes the records. Returns how many were killed; an error names those that would not
// die.
absl::StatusOr<int> KillRecorded(const std::string& folder, std::string_view mark,
                                 Duration patience);

// Kills all that is in a cgroup (v2) and in those right below it, and removes them. What has not
// died yet keeps its cgroup: call again. Nothing happens where `folder` is not there.
void EndCgroup(const std::string& folder);

}  // namespace longrun
