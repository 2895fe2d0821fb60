#include "control/journal_repair.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "control/journal_rows.h"
#include "control/journal_schema.h"

namespace longrun::control {
namespace {

namespace fs = std::filesystem;

std::string BuildingPath(const std::string& folder) { return folder + "/journal.rebuilding"; }
std::string GraftedPath(const std::string& folder) { return folder + "/journal.grafted"; }
std::string RebuiltPath(const std::string& folder) { return folder + "/journal.rebuilt"; }

absl::Status Rename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot rename ", from, " to ", to));
}

// A second name, or a copy where the file system has no links.
absl::Status KeepAs(const std::string& path, const std::string& name) {
  if (link(path.c_str(), name.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  std::error_code error;
  fs::copy_file(path, name, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot copy to ", name));
  return absl::OkStatus();
}

// Copies what is whole from one database to another.
class Salvage {
 public:
  Salvage(RowWriter& out, const std::optional<SnapshotFile>& base) : out_(out), base_(base) {
    if (base) base_seq_ = base->snapshot.seq;
  }

  absl::Status Run(Database& old) {
    // History: every stretch that can be proved.
    LR_RETURN_IF_ERROR(WalkHistory(old));
    LR_RETURN_IF_ERROR(FillHistory());
    // Tail: dense from the snapshot on, or the state could not be folded.
    const absl::Status walked = WalkRows(
        old, base_seq_ + 1, base_ ? base_->chain_sum : kChainStart,
        [&](const Row& row) { return Keep(row); },
        [&](const BrokenRows& rows) {
          tail_lost_ = rows.first_seq;
          return false;
        });
    LR_RETURN_IF_ERROR(status_);
    return walked;
  }

  // Fills what is missing up to the snapshot; all of it when nothing could be read.
  absl::Status FillHistory() {
    if (next_ <= base_seq_) {
      history_lost_ = history_lost_ == 0 ? next_ : history_lost_;
      LR_RETURN_IF_ERROR(
          out_.InsertGap(kLostGap, next_, base_seq_, base_->snapshot.at, base_->chain_sum));
      next_ = base_seq_ + 1;
      at_ = base_->snapshot.at;
    }
    return absl::OkStatus();
  }

  uint64_t next() const { return next_; }
  uint64_t history_lost() const { return history_lost_; }  // 0: none
  uint64_t tail_lost() const { return tail_lost_; }        // 0: none as far as can be seen

 private:
  absl::Status WalkHistory(Database& old) {
    if (!base_) return absl::OkStatus();
    const absl::Status walked = WalkRows(
        old, 1, kChainStart,
        [&](const Row& row) { return row.record.seq <= base_seq_ && Keep(row); },
        [&](const BrokenRows& rows) {
          if (rows.first_seq > base_seq_) return false;
          history_lost_ = history_lost_ == 0 ? rows.first_seq : history_lost_;
          // Without a sum to go on with, the gap grows until there is one.
          if (rows.last_seq > base_seq_ || !rows.sum) return rows.last_seq <= base_seq_;
          status_ = out_.InsertGap(kLostGap, next_, rows.last_seq, at_, *rows.sum);
          next_ = rows.last_seq + 1;
          return status_.ok();
        });
    LR_RETURN_IF_ERROR(status_);
    return walked;
  }

  bool Keep(const Row& row) {
    const RecordView& record = row.record;
    status_ = record.kind >= 0
                  ? out_.Insert(record, row.sum)
                  : out_.InsertGap(record.kind, row.first_seq, record.seq, record.at, row.sum);
    next_ = record.seq + 1;
    at_ = record.at;
    return status_.ok();
  }

  RowWriter& out_;
  const std::optional<SnapshotFile>& base_;
  uint64_t base_seq_ = 0;
  uint64_t next_ = 1;
  Time at_;
  uint64_t history_lost_ = 0;
  uint64_t tail_lost_ = 0;
  absl::Status status_;
};

void RemoveGrafted(const std::string& folder) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    unlink((GraftedPath(folder) + suffix).c_str());
  }
}

// Copies the old database with a new journal's first page in place of its own. That page holds the
// file's size and where the tables begin, the same in every journal: with a good one SQLite reads
// what a damaged header, or a file cut short, kept from it.
absl::Status Graft(const std::string& folder, const std::string& new_database) {
  const std::string path = DatabasePath(folder);
  const std::string grafted = GraftedPath(folder);
  RemoveGrafted(folder);
  std::error_code error;
  fs::copy_file(path, grafted, error);
  if (!error && fs::exists(path + "-wal")) fs::copy_file(path + "-wal", grafted + "-wal", error);
  if (!error)
    fs::resize_file(grafted, std::max<uintmax_t>(1, fs::file_size(path) / 4096) * 4096, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot copy to ", grafted));
  LR_ASSIGN_OR_RETURN(std::string page, ReadFile(new_database));
  page.resize(4096);
  // File format, section 1.3: write and read version 2 say that there is a log; the size in pages.
  page[18] = page[19] = 2;
  const uint32_t pages = static_cast<uint32_t>(fs::file_size(grafted) / 4096);
  for (int i = 0; i < 4; ++i) page[28 + i] = static_cast<char>(pages >> (24 - 8 * i));
  std::fstream file(grafted, std::ios::in | std::ios::out | std::ios::binary);
  file.write(page.data(), static_cast<std::streamsize>(page.size()));
  file.close();
  if (!file) return absl::InternalError(absl::StrCat("cannot write ", grafted));
  return absl::OkStatus();
}

// Opens what is best read in place of the damaged database: itself, or a copy with a new first
// page.
absl::StatusOr<Database> OpenForSalvage(const std::string& folder,
                                        const std::string& new_database) {
  absl::StatusOr<Database> old = Database::Open(DatabasePath(folder), Database::Mode::kReadOnly);
  const absl::Status readable = old.ok() ? ReadVersion(*old).status() : old.status();
  if (!absl::IsDataLoss(readable)) return old;
  LR_RETURN_IF_ERROR(Graft(folder, new_database));
  return Database::Open(GraftedPath(folder), Database::Mode::kReadWrite);
}

// The largest number that the old database still shows; 0 where it shows none.
uint64_t LargestSeq(Database& old) {
  const absl::StatusOr<int64_t> largest = old.QueryInt("SELECT max(seq) FROM record");
  return largest.ok() && *largest > 0 ? static_cast<uint64_t>(*largest) : 0;
}

Damage Describe(const Salvage& salvage, uint64_t largest, uint64_t base_seq,
                const std::string& why) {
  Damage damage;
  const uint64_t tail_from = salvage.tail_lost() != 0 ? salvage.tail_lost() : salvage.next();
  const bool tail = salvage.tail_lost() != 0 || largest >= salvage.next();
  damage.first_seq = tail_from;
  if (tail && largest >= tail_from) damage.records_lost = largest - tail_from + 1;
  damage.what = absl::StrCat(why, "; rebuilt with the records up to ", salvage.next() - 1);
  if (salvage.history_lost() != 0) {
    absl::StrAppend(&damage.what, ", history from record ", salvage.history_lost(),
                    " on is lost in part (the snapshot after record ", base_seq, " is whole)");
    if (!tail) {
      damage.first_seq = salvage.history_lost();
      damage.below_snapshot = true;
    }
  }
  return damage;
}

}  // namespace

std::string DatabasePath(const std::string& folder) { return folder + "/journal.db"; }

std::string FreePath(const std::string& path) {
  std::string free = path;
  for (int i = 2; access(free.c_str(), F_OK) == 0; ++i) free = absl::StrCat(path, ".", i);
  return free;
}

absl::StatusOr<std::string> MoveTailAside(Database& db, const std::string& folder,
                                          uint64_t first_seq) {
  const std::string side = FreePath(absl::StrCat(folder, "/journal.damaged-", first_seq));
  LR_RETURN_IF_ERROR(WriteFileAtomically(side, ""));  // ATTACH makes no files here
  LR_RETURN_IF_ERROR(
      db.Execute(absl::StrCat("ATTACH '", absl::StrReplaceAll(side, {{"'", "''"}}), "' AS side")));
  // The copy is durable before the rows go: a crash in between leaves them in both.
  absl::Status status = db.Execute(absl::StrCat(
      "CREATE TABLE side.record(seq, at, kind, payload, sum);",
      "INSERT INTO side.record SELECT seq, at, kind, payload, sum FROM main.record WHERE seq >= ",
      first_seq));
  if (status.ok()) {
    status = db.Execute(absl::StrCat("DELETE FROM main.record WHERE seq >= ", first_seq));
  }
  const absl::Status detached = db.Execute("DETACH side");
  LR_RETURN_IF_ERROR(status);
  LR_RETURN_IF_ERROR(detached);
  LR_RETURN_IF_ERROR(SyncFolder(folder));
  return side;
}

absl::StatusOr<Damage> Rebuild(const std::string& folder, const std::optional<SnapshotFile>& base,
                               const std::string& why) {
  const std::string path = DatabasePath(folder);
  const std::string building = BuildingPath(folder);
  LR_RETURN_IF_ERROR(CreateDatabase(building));
  Damage damage;
  {
    absl::StatusOr<Database> old = OpenForSalvage(folder, building);
    LR_ASSIGN_OR_RETURN(Database out, Database::Open(building, Database::Mode::kReadWrite));
    LR_RETURN_IF_ERROR(out.Execute("PRAGMA synchronous=FULL;PRAGMA journal_mode=MEMORY;BEGIN"));
    LR_ASSIGN_OR_RETURN(RowWriter writer, RowWriter::Prepare(out));
    Salvage salvage(writer, base);
    uint64_t largest = 0;
    if (old.ok()) {
      const absl::Status status = salvage.Run(*old);
      if (!status.ok() && !absl::IsDataLoss(status)) return status;
      largest = LargestSeq(*old);
    } else if (!absl::IsDataLoss(old.status())) {
      return old.status();
    }
    LR_RETURN_IF_ERROR(salvage.FillHistory());
    LR_RETURN_IF_ERROR(out.Execute("COMMIT"));
    damage = Describe(salvage, largest, base ? base->snapshot.seq : 0, why);
  }
  RemoveGrafted(folder);
  damage.moved_to = FreePath(absl::StrCat(folder, "/journal.damaged-", damage.first_seq));
  LR_RETURN_IF_ERROR(KeepAs(path, damage.moved_to));
  LR_RETURN_IF_ERROR(KeepAs(path + "-wal", damage.moved_to + "-wal"));
  LR_RETURN_IF_ERROR(SyncFolder(folder));
  LR_RETURN_IF_ERROR(Rename(building, RebuiltPath(folder)));
  LR_RETURN_IF_ERROR(SyncFolder(folder));
  LR_RETURN_IF_ERROR(FinishRebuild(folder));
  return damage;
}

absl::Status FinishRebuild(const std::string& folder) {
  const std::string path = DatabasePath(folder);
  if (access(RebuiltPath(folder).c_str(), F_OK) != 0) return absl::OkStatus();
  // The old log first: it must never be applied to the new database.
  unlink((path + "-wal").c_str());
  unlink((path + "-shm").c_str());
  LR_RETURN_IF_ERROR(SyncFolder(folder));
  LR_RETURN_IF_ERROR(Rename(RebuiltPath(folder), path));
  return SyncFolder(folder);
}

}  // namespace longrun::control
