// Reads SQLite's write-ahead log before SQLite does, to tell damage from an unfinished write.
//
// SQLite takes a log up to its first frame that is not whole and forgets the rest in silence: right
// for a crash in the middle of a write, but transactions behind a frame that rotted on the disk are
// lost unseen. Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log (section 4).
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace longrun::control {

struct WalReport {
  bool damaged = false;  // frames of the current log stand behind one that is not whole
  std::string what;      // for the user, when damaged
};

// `path` of the -wal file; one that is absent or empty is whole.
absl::StatusOr<WalReport> InspectWal(const std::string& path);

}  // namespace longrun::control
