// What an agent is told when it starts. The engine that starts it writes these as flags.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace longrun::agent {

struct Options {
  std::string node;     // its name
  std::string control;  // gRPC address, "unix:/path" or "host:port"
  // The node's own folder: the agent's log, its socket, the records of what it started.
  std::string state_folder;
  // <runs_folder>/<run> is the run's LONGRUN_RUN_DIR; logs lie in its logs/.
  std::string runs_folder;
  std::string site = "local";
  std::string address = "127.0.0.1";  // that peers reach its ranks under
  std::string type = "cpu";           // of the accelerators
  std::map<std::string, std::string> labels;
  int accelerators = 1;
  int64_t cpu_milli = 0;     // 0: what the machine has
  int64_t memory_bytes = 0;  // 0: what the machine has
  // Without a word from any controller for so long, the agent ends its ranks and itself.
  Duration orphan_after = Duration::Minutes(10);
  int64_t log_file_bytes = int64_t{16} << 20;  // of one log file of a rank; older ones: two more
  std::string log_level = "info";
};

// `--node NAME --control ADDRESS --state DIR --runs DIR --accelerators N [--site S] [--address
// HOST]
// [--type T] [--label KEY=VALUE]… [--cpu-milli N] [--memory-bytes N] [--orphan-after 10m]
// [--log-file-bytes N] [--log-level L]`, the words after `longrun agent`. An error names the flag.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& flags);

// For `longrun agent --help`.
const char* OptionsHelp();

}  // namespace longrun::agent
