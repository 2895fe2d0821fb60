// The journal on disk: one SQLite database (write-ahead log, flushed at each commit) and two
// snapshot files in a state folder that one controller at a time may hold.
//
// Owned by the controller's loop and called by its thread alone; `longrun why` opens its own,
// read-only, beside a live controller.
//
//   folder/journal.db        records, a chained checksum each (journal_rows.h)
//   folder/snapshot-<seq>    the reader's state after that record (snapshot_files.h)
//   folder/journal.committed how far it was committed (committed_mark.h)
//   folder/controller.lock   who holds the folder (folder_lock.h)
//   folder/journal.damaged-… what a repair moved out of the way (journal_repair.h)
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/committed_mark.h"
#include "control/folder_lock.h"
#include "control/journal.h"
#include "control/journal_rows.h"
#include "control/snapshot_files.h"
#include "control/sqlite_database.h"

namespace longrun::control {

struct SqliteJournalOptions {
  std::string folder;      // made if it is not there, unless read-only
  bool read_only = false;  // takes no lock, repairs nothing, checks what Read() meets
  // Largest size of the database in pages of 4 KiB; 0: as large as the disk allows.
  int64_t page_limit = 0;
};

class SqliteJournal : public Journal {
 public:
  // Repairs what it finds broken and tells of it through damages(). Errors: FailedPrecondition when
  // another controller holds the folder or a newer Longrun wrote the journal; NotFound when there
  // is no journal to open read-only; else what the machine said.
  static absl::StatusOr<std::unique_ptr<SqliteJournal>> Open(const SqliteJournalOptions& options);

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

 private:
  explicit SqliteJournal(const SqliteJournalOptions& options)
      : options_(options), snapshots_(options.folder) {}

  absl::Status OpenForWriting();
  absl::Status OpenForReading();
  absl::Status ChooseBase();
  absl::Status MakeIfMissing();
  absl::Status KeepDamagedWal();
  absl::Status OpenDatabase();
  absl::Status RepairDatabase(const absl::Status& why);
  absl::StatusOr<bool> BaseIsForeign();
  absl::Status CheckRecords();
  absl::Status CheckTail();
  absl::Status RepairTail(const BrokenRows& broken);
  void CheckMark();
  absl::Status CloseGapBelowBase();
  absl::Status PrepareStatements();
  absl::Status WritePending();
  absl::StatusOr<uint64_t> PruneRange(absl::Span<const int32_t> kinds, uint64_t first,
                                      uint64_t last);
  absl::StatusOr<uint64_t> ChainSumAt(uint64_t seq, Time* at);

  SqliteJournalOptions options_;
  FolderLock lock_;
  CommittedMark mark_;
  SnapshotFiles snapshots_;
  Database db_;
  std::optional<RowWriter> writer_;
  std::optional<Statement> begin_;
  std::optional<Statement> commit_;
  std::optional<SnapshotFile> base_;  // without its payload
  std::vector<Record> pending_;
  uint64_t last_seq_ = 0;
  Time last_at_;
  uint64_t chain_sum_ = kChainStart;
  absl::Status failed_;  // of the machine; nothing more is written
  std::vector<Damage> damages_;
};

}  // namespace longrun::control
