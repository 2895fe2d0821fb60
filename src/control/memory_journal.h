// A journal in memory, for tests and for the simulated world: the same promises as the one on disk,
// and the ways in which a machine breaks them off, at the caller's choice instead of at random.
//
// The object is the disk: it outlives the controllers that use it. One thread.
#pragma once

#include <string>
#include <vector>

#include "control/journal.h"

namespace longrun::control {

class MemoryJournal : public Journal {
 public:
  uint64_t Append(Time at, int32_t kind, std::string_view payload) override;
  absl::Status Commit() override;
  absl::Status Read(uint64_t from_seq, Visitor visit) override;
  absl::Status WriteSnapshot(uint64_t seq, std::string_view payload) override;
  absl::StatusOr<std::optional<Snapshot>> NewestSnapshot() override;
  absl::StatusOr<uint64_t> Prune(absl::Span<const int32_t> kinds, uint64_t through_seq) override;
  uint64_t last_seq() const override { return last_seq_; }
  Time last_at() const override { return last_at_; }
  size_t pending() const override { return pending_.size(); }
  const std::vector<Damage>& damages() const override { return damages_; }

  // The controller dies and the journal is opened again. Of the records not committed the first
  // `survivors` are found on the disk all the same (the commit was done but not yet answered), the
  // others are gone. With `torn` the one after the survivors is there in half: opening finds that,
  // drops it and says so in damages().
  void Crash(size_t survivors = 0, bool torn = false);

  // The newest snapshot is damaged on the disk: the older one counts from now on.
  void DamageNewestSnapshot();

  // Commit and WriteSnapshot return `status` until told otherwise with OkStatus.
  void FailWrites(absl::Status status) { write_status_ = std::move(status); }

 private:
  void Keep(Record record);

  std::vector<Record> records_;  // committed, ascending, with holes where pruned
  std::vector<Record> pending_;
  std::vector<Snapshot> snapshots_;  // at most two, oldest first
  uint64_t last_seq_ = 0;
  Time last_at_;
  uint64_t pruned_through_ = 0;
  absl::Status write_status_;
  std::vector<Damage> damages_;
};

}  // namespace longrun::control
