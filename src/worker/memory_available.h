// How much memory this process may still take.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace longrun::worker {

struct MemoryAvailable {
  int64_t bytes = 0;
  std::string source;  // what sets it, for people: "MemAvailable of /proc/meminfo"
};

// The least of what the machine has left and what the process's cgroup (v2), and those above it,
// leave. `root` is "/" but in tests. Unavailable where /proc/meminfo cannot be read.
absl::StatusOr<MemoryAvailable> ReadMemoryAvailable(const std::string& root = "/");

// What this process has in memory now; 0 where that cannot be read.
int64_t ResidentBytes();

}  // namespace longrun::worker
