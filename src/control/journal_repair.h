// What is done about a damaged journal: the good part stays, the rest is moved to files named
// journal.damaged-<first record lost> (SQLite databases, for whoever wants to look), never deleted.
//
// Called by the one controller that holds the state folder's lock, while the journal opens.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "control/journal.h"
#include "control/snapshot_files.h"
#include "control/sqlite_database.h"

namespace longrun::control {

std::string DatabasePath(const std::string& folder);

// The first of `path`, `path`.2, `path`.3 … that does not exist.
std::string FreePath(const std::string& path);

// Moves the rows from `first_seq` on out of a readable database. Returns the side file's path.
absl::StatusOr<std::string> MoveTailAside(Database& db, const std::string& folder,
                                          uint64_t first_seq);

// Replaces a malformed database by a new one with every row that can be read and proved: history up
// to `base` (lost stretches become gap rows), then the tail up to the first row that is broken.
// `why` is what was found. No connection may be open. After a crash midway it is finished, or begun
// again, by the next opening.
absl::StatusOr<Damage> Rebuild(const std::string& folder, const std::optional<SnapshotFile>& base,
                               const std::string& why);

// Finishes a Rebuild that a crash cut short behind its last doubt; nothing otherwise.
absl::Status FinishRebuild(const std::string& folder);

}  // namespace longrun::control
