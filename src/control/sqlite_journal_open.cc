// Opening a journal: what is there, is it whole, and what to do where it is not.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/file.h"
#include "control/journal_repair.h"
#include "control/journal_schema.h"
#include "control/sqlite_journal.h"
#include "control/wal_inspection.h"

namespace longrun::control {
namespace {

namespace fs = std::filesystem;

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteJournal>> SqliteJournal::Open(
    const SqliteJournalOptions& options) {
  std::unique_ptr<SqliteJournal> journal(new SqliteJournal(options));
  LR_RETURN_IF_ERROR(options.read_only ? journal->OpenForReading() : journal->OpenForWriting());
  return journal;
}

absl::Status SqliteJournal::OpenForReading() {
  const std::string path = DatabasePath(options_.folder);
  if (!Exists(path)) {
    return absl::NotFoundError(absl::StrCat(
        options_.folder, " holds no journal; is it the state folder of a controller?"));
  }
  LR_ASSIGN_OR_RETURN(db_, Database::Open(path, Database::Mode::kReadOnly));
  LR_ASSIGN_OR_RETURN(const int version, ReadVersion(db_));
  if (version != kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": an older Longrun wrote this journal; start the controller once, that ",
        "brings it up to date"));
  }
  LR_ASSIGN_OR_RETURN(Statement last,
                      db_.Prepare("SELECT seq, at FROM record ORDER BY seq DESC LIMIT 1"));
  LR_ASSIGN_OR_RETURN(const bool there, last.Step());
  if (there) {
    last_seq_ = static_cast<uint64_t>(last.Int(0));
    last_at_ = Time{last.Int(1)};
  }
  return absl::OkStatus();
}

absl::Status SqliteJournal::OpenForWriting() {
  LR_RETURN_IF_ERROR(MakeFolder(options_.folder));
  LR_ASSIGN_OR_RETURN(lock_, FolderLock::Take(options_.folder));
  snapshots_.RemoveLeftovers();
  LR_RETURN_IF_ERROR(FinishRebuild(options_.folder));
  LR_RETURN_IF_ERROR(ChooseBase());
  LR_RETURN_IF_ERROR(MakeIfMissing());
  LR_RETURN_IF_ERROR(KeepDamagedWal());

  absl::Status status = OpenDatabase();
  if (status.ok()) status = CheckRecords();
  if (absl::IsDataLoss(status)) {
    LR_RETURN_IF_ERROR(RepairDatabase(status));
    LR_RETURN_IF_ERROR(OpenDatabase());
    status = CheckRecords();
  }
  LR_RETURN_IF_ERROR(status);
  CheckMark();
  return PrepareStatements();
}

absl::Status SqliteJournal::ChooseBase() {
  base_.reset();
  LR_ASSIGN_OR_RETURN(const std::vector<uint64_t> seqs, snapshots_.List());
  for (const uint64_t seq : seqs) {
    absl::StatusOr<SnapshotFile> file = snapshots_.Load(seq);
    if (file.ok()) {
      base_ = *std::move(file);
      base_->snapshot.payload.clear();
      return absl::OkStatus();
    }
    if (!absl::IsDataLoss(file.status())) return file.status();
    LR_ASSIGN_OR_RETURN(const std::string aside, snapshots_.MoveAside(seq));
    damages_.push_back(
        {.what = absl::StrCat(file.status().message(), "; the state is taken from what is older"),
         .moved_to = aside,
         .below_snapshot = true});
  }
  return absl::OkStatus();
}

absl::Status SqliteJournal::MakeIfMissing() {
  const std::string path = DatabasePath(options_.folder);
  if (Exists(path)) return absl::OkStatus();
  const std::string wal = path + "-wal";
  Damage damage;
  // A log without its database must not be applied to a new one.
  if (Exists(wal)) {
    damage.moved_to = FreePath(options_.folder + "/journal.damaged-wal");
    std::error_code error;
    fs::rename(wal, damage.moved_to, error);
    if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot rename ", wal));
  }
  unlink((path + "-shm").c_str());
  if (base_ || !damage.moved_to.empty()) {
    damage.first_seq = base_ ? base_->snapshot.seq + 1 : 1;
    damage.what = absl::StrCat(
        path, " is missing",
        base_ ? absl::StrCat("; the state is the snapshot's after record ", base_->snapshot.seq)
              : "; the journal begins anew");
    damages_.push_back(std::move(damage));
  }
  return CreateDatabase(path);
}

absl::Status SqliteJournal::KeepDamagedWal() {
  const std::string wal = DatabasePath(options_.folder) + "-wal";
  LR_ASSIGN_OR_RETURN(const WalReport report, InspectWal(wal));
  if (!report.damaged) return absl::OkStatus();
  const std::string copy = FreePath(options_.folder + "/journal.damaged-wal");
  std::error_code error;
  fs::copy_file(wal, copy, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot copy to ", copy));
  damages_.push_back({.what = report.what, .moved_to = copy});
  return absl::OkStatus();
}

absl::Status SqliteJournal::OpenDatabase() {
  db_.Close();
  LR_ASSIGN_OR_RETURN(db_,
                      Database::Open(DatabasePath(options_.folder), Database::Mode::kReadWrite));
  LR_ASSIGN_OR_RETURN(const int version, ReadVersion(db_));
  LR_RETURN_IF_ERROR(
      db_.Execute("PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA wal_autocheckpoint=4096;"
                  "PRAGMA journal_size_limit=33554432;PRAGMA cache_size=-16384"));
  if (options_.page_limit > 0) {
    LR_RETURN_IF_ERROR(db_.Execute(absl::StrCat("PRAGMA max_page_count=", options_.page_limit)));
  }
  // The structure of the file, as far as it costs no more than reading it once.
  LR_ASSIGN_OR_RETURN(const std::string verdict, db_.QueryText("PRAGMA quick_check(1)"));
  if (verdict != "ok") return absl::DataLossError(verdict);
  return Migrate(db_, version);
}

absl::Status SqliteJournal::RepairDatabase(const absl::Status& why) {
  db_.Close();
  LR_ASSIGN_OR_RETURN(Damage damage, Rebuild(options_.folder, base_,
                                             absl::StrCat(DatabasePath(options_.folder),
                                                          " is damaged (", why.message(), ")")));
  damages_.push_back(std::move(damage));
  return absl::OkStatus();
}

absl::Status SqliteJournal::CheckRecords() {
  LR_ASSIGN_OR_RETURN(bool foreign, BaseIsForeign());
  while (foreign) {
    LR_ASSIGN_OR_RETURN(const std::string aside, snapshots_.MoveAside(base_->snapshot.seq));
    damages_.push_back({.what = "a snapshot that belongs to another journal was put aside",
                        .moved_to = aside,
                        .below_snapshot = true});
    LR_RETURN_IF_ERROR(ChooseBase());
    LR_ASSIGN_OR_RETURN(foreign, BaseIsForeign());
  }
  LR_RETURN_IF_ERROR(CloseGapBelowBase());
  return CheckTail();
}

// The record that the snapshot stands on is whole, and yet not the one the snapshot was made after.
absl::StatusOr<bool> SqliteJournal::BaseIsForeign() {
  if (!base_) return false;
  bool foreign = false;
  LR_RETURN_IF_ERROR(WalkRows(
      db_, base_->snapshot.seq, std::nullopt,
      [&](const Row& row) {
        foreign = row.record.seq == base_->snapshot.seq && row.sum != base_->chain_sum;
        return false;
      },
      [](const BrokenRows&) { return false; }));
  return foreign;
}

// Records below the snapshot that are missing at the end: numbering goes on behind the snapshot.
absl::Status SqliteJournal::CloseGapBelowBase() {
  if (!base_) return absl::OkStatus();
  const uint64_t base_seq = base_->snapshot.seq;
  LR_ASSIGN_OR_RETURN(const int64_t last, db_.QueryInt("SELECT max(seq) FROM record"));
  if (last >= static_cast<int64_t>(base_seq)) return absl::OkStatus();
  LR_ASSIGN_OR_RETURN(RowWriter writer, RowWriter::Prepare(db_));
  const uint64_t first = static_cast<uint64_t>(last) + 1;
  LR_RETURN_IF_ERROR(
      writer.InsertGap(kLostGap, first, base_seq, base_->snapshot.at, base_->chain_sum));
  damages_.push_back({.what = absl::StrCat("records ", first, " to ", base_seq,
                                           " are missing; the snapshot after them is whole"),
                      .first_seq = first,
                      .records_lost = base_seq - last,
                      .below_snapshot = true});
  return absl::OkStatus();
}

absl::Status SqliteJournal::CheckTail() {
  last_seq_ = base_ ? base_->snapshot.seq : 0;
  last_at_ = base_ ? base_->snapshot.at : Time{};
  chain_sum_ = base_ ? base_->chain_sum : kChainStart;
  std::optional<BrokenRows> broken;
  uint64_t gone_through = 0;
  LR_RETURN_IF_ERROR(WalkRows(
      db_, last_seq_ + 1, chain_sum_,
      [&](const Row& row) {
        if (row.record.kind < 0) gone_through = row.record.seq;
        last_seq_ = row.record.seq;
        last_at_ = row.record.at;
        chain_sum_ = row.sum;
        return true;
      },
      [&](const BrokenRows& rows) {
        broken = rows;
        return false;
      }));
  if (broken) LR_RETURN_IF_ERROR(RepairTail(*broken));
  if (gone_through != 0) {
    damages_.push_back(
        {.what = absl::StrCat(options_.folder, ": no snapshot is whole, and not all records up to ",
                              gone_through, " are there to make up for it"),
         .first_seq = 1});
  }
  return absl::OkStatus();
}

// Records that were committed and are missing though what is there is whole. Other damage has been
// told of, with the records that it cost.
void SqliteJournal::CheckMark() {
  mark_ = CommittedMark(options_.folder);
  const uint64_t marked = mark_.Read().value_or(0);
  const bool told = std::any_of(damages_.begin(), damages_.end(),
                                [](const Damage& damage) { return !damage.below_snapshot; });
  if (marked > last_seq_ && !told) {
    damages_.push_back({.what = absl::StrCat(DatabasePath(options_.folder), ": records ",
                                             last_seq_ + 1, " to ", marked,
                                             " had been committed and are gone: its log was cut, "
                                             "an older copy was put in its place, or a "
                                             "repair lost them"),
                        .first_seq = last_seq_ + 1,
                        .records_lost = marked - last_seq_});
  }
  mark_.Write(last_seq_);
}

absl::Status SqliteJournal::RepairTail(const BrokenRows& broken) {
  const uint64_t first = broken.first_seq;
  LR_ASSIGN_OR_RETURN(const int64_t largest, db_.QueryInt("SELECT max(seq) FROM record"));
  LR_ASSIGN_OR_RETURN(const std::string side, MoveTailAside(db_, options_.folder, first));
  damages_.push_back({.what = absl::StrCat(DatabasePath(options_.folder), ": record ", first, ": ",
                                           broken.what, "; it and what follows it was moved aside"),
                      .first_seq = first,
                      .records_lost = static_cast<uint64_t>(largest) - first + 1,
                      .moved_to = side});
  return absl::OkStatus();
}

}  // namespace longrun::control
