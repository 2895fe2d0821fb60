// Snapshots as files beside the journal's database, so that neither's damage reaches the other: a
// database that is lost altogether leaves the state as of the newest snapshot.
//
// A file `snapshot-<seq>` holds a magic number, the record's number and time, the chain's sum after
// it, the payload and an XXH3 sum over all that. Written by atomic rename; the newest two are kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "control/journal.h"

namespace longrun::control {

struct SnapshotFile {
  Snapshot snapshot;
  uint64_t chain_sum = 0;
};

class SnapshotFiles {
 public:
  explicit SnapshotFiles(std::string folder) : folder_(std::move(folder)) {}

  // Record numbers of the snapshots that are there, newest first, whole or not.
  absl::StatusOr<std::vector<uint64_t>> List() const;
  // DataLoss when the file is damaged, NotFound when it is not there.
  absl::StatusOr<SnapshotFile> Load(uint64_t seq) const;
  // Writes the snapshot, then removes all but the newest two.
  absl::Status Write(uint64_t seq, Time at, uint64_t chain_sum, std::string_view payload);
  // Renames a snapshot so that it no longer counts; returns the new path.
  absl::StatusOr<std::string> MoveAside(uint64_t seq);
  // Removes what writes cut short left behind.
  void RemoveLeftovers();

 private:
  std::string PathOf(uint64_t seq) const;
  std::string folder_;
};

}  // namespace longrun::control
