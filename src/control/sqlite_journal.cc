#include "control/sqlite_journal.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace longrun::control {
namespace {

absl::StatusOr<uint64_t> PrunedThrough(Database& db) {
  LR_ASSIGN_OR_RETURN(const int64_t seq,
                      db.QueryInt("SELECT value FROM bookmark WHERE name='pruned_through'"));
  return seq > 0 ? static_cast<uint64_t>(seq) : 0;
}

// The transaction `write` within BEGIN and COMMIT; rolled back on an error.
template <class F>
absl::Status InTransaction(Database& db, F write) {
  LR_RETURN_IF_ERROR(db.Execute("BEGIN IMMEDIATE"));
  absl::Status status = write();
  if (status.ok()) status = db.Execute("COMMIT");
  if (!status.ok() && db.in_transaction()) (void)db.Execute("ROLLBACK");
  return status;
}

}  // namespace

absl::Status SqliteJournal::PrepareStatements() {
  LR_ASSIGN_OR_RETURN(writer_, RowWriter::Prepare(db_));
  LR_ASSIGN_OR_RETURN(begin_, db_.Prepare("BEGIN IMMEDIATE"));
  LR_ASSIGN_OR_RETURN(commit_, db_.Prepare("COMMIT"));
  return absl::OkStatus();
}

uint64_t SqliteJournal::Append(Time at, int32_t kind, std::string_view payload) {
  LR_CHECK(!options_.read_only);
  LR_CHECK_GE(kind, 0);
  LR_CHECK_GE(at.us, (pending_.empty() ? last_at_ : pending_.back().at).us);
  const uint64_t seq = last_seq_ + pending_.size() + 1;
  pending_.push_back({seq, at, kind, std::string(payload)});
  return seq;
}

absl::Status SqliteJournal::Commit() {
  if (pending_.empty()) return absl::OkStatus();
  if (failed_.ok() && !lock_.InPlace()) {
    failed_ = absl::DataLossError(
        absl::StrCat(options_.folder,
                     ": this state folder was deleted or replaced while it was in use; what "
                     "happens now would be kept nowhere"));
  }
  LR_RETURN_IF_ERROR(failed_);
  absl::Status status = begin_->Run();
  if (status.ok()) status = WritePending();
  if (status.ok()) return absl::OkStatus();
  if (db_.in_transaction()) (void)db_.Execute("ROLLBACK");
  // A full disk and a lock held by somebody leave the database as it was. After any other error
  // (a flush that failed, above all) only reading it again tells what is on the disk.
  if (!absl::IsResourceExhausted(status) && !absl::IsUnavailable(status)) failed_ = status;
  return status;
}

absl::Status SqliteJournal::WritePending() {
  uint64_t sum = chain_sum_;
  for (const Record& record : pending_) {
    const RecordView view{record.seq, record.at, record.kind, record.payload};
    sum = ChainSum(sum, view);
    LR_RETURN_IF_ERROR(writer_->Insert(view, sum));
  }
  LR_RETURN_IF_ERROR(commit_->Run());
  last_seq_ = pending_.back().seq;
  last_at_ = pending_.back().at;
  chain_sum_ = sum;
  pending_.clear();
  mark_.Write(last_seq_);
  return absl::OkStatus();
}

absl::Status SqliteJournal::Read(uint64_t from_seq, Visitor visit) {
  std::string lost;
  const auto note = [&](uint64_t first, uint64_t last, const std::string& what) {
    if (lost.size() < 1000) {
      absl::StrAppend(&lost, lost.empty() ? "" : "; ", "records ", first, " to ", last, ": ", what);
    }
    return true;
  };
  LR_RETURN_IF_ERROR(WalkRows(
      db_, std::max<uint64_t>(from_seq, 1), std::nullopt,
      [&](const Row& row) {
        if (row.record.kind >= 0) return visit(row.record);
        return row.record.kind == kPrunedGap ||
               note(row.first_seq, row.record.seq, "lost to damage found earlier");
      },
      [&](const BrokenRows& rows) { return note(rows.first_seq, rows.last_seq, rows.what); }));
  if (lost.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(options_.folder, ": the journal is not whole: ", lost));
}

absl::StatusOr<uint64_t> SqliteJournal::ChainSumAt(uint64_t seq, Time* at) {
  if (seq == last_seq_) {
    *at = last_at_;
    return chain_sum_;
  }
  LR_ASSIGN_OR_RETURN(Statement select, db_.Prepare("SELECT at, sum FROM record WHERE seq = ?"));
  select.Bind(1, static_cast<int64_t>(seq));
  LR_ASSIGN_OR_RETURN(const bool there, select.Step());
  if (!there) return absl::DataLossError(absl::StrCat("record ", seq, " is not in the journal"));
  *at = Time{select.Int(0)};
  return static_cast<uint64_t>(select.Int(1));
}

absl::Status SqliteJournal::WriteSnapshot(uint64_t seq, std::string_view payload) {
  LR_CHECK(!options_.read_only);
  LR_CHECK_GT(seq, 0u);
  LR_CHECK_LE(seq, last_seq_);
  LR_CHECK(!base_ || seq >= base_->snapshot.seq);
  LR_RETURN_IF_ERROR(failed_);
  Time at;
  LR_ASSIGN_OR_RETURN(const uint64_t sum, ChainSumAt(seq, &at));
  LR_RETURN_IF_ERROR(snapshots_.Write(seq, at, sum, payload));
  base_ = SnapshotFile{{seq, at, ""}, sum};
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Snapshot>> SqliteJournal::NewestSnapshot() {
  LR_ASSIGN_OR_RETURN(const std::vector<uint64_t> seqs, snapshots_.List());
  for (const uint64_t seq : seqs) {
    absl::StatusOr<SnapshotFile> file = snapshots_.Load(seq);
    if (file.ok()) return std::move(file->snapshot);
    // Beside a live controller a snapshot may be gone by the time it is read.
    if (absl::IsNotFound(file.status())) continue;
    if (!absl::IsDataLoss(file.status())) return file.status();
    damages_.push_back({.what = std::string(file.status().message()), .below_snapshot = true});
  }
  return std::nullopt;
}

absl::StatusOr<uint64_t> SqliteJournal::Prune(absl::Span<const int32_t> kinds,
                                              uint64_t through_seq) {
  LR_CHECK(!options_.read_only);
  LR_RETURN_IF_ERROR(failed_);
  LR_ASSIGN_OR_RETURN(const std::vector<uint64_t> seqs, snapshots_.List());
  if (seqs.size() < 2) return uint64_t{0};
  // What the older snapshot cannot replace must stay.
  LR_ASSIGN_OR_RETURN(const SnapshotFile older, snapshots_.Load(seqs[1]));
  const uint64_t through = std::min(through_seq, older.snapshot.seq - 1);
  LR_ASSIGN_OR_RETURN(const uint64_t done, PrunedThrough(db_));
  if (through <= done) return uint64_t{0};
  uint64_t pruned = 0;
  LR_RETURN_IF_ERROR(InTransaction(db_, [&]() -> absl::Status {
    LR_ASSIGN_OR_RETURN(pruned, PruneRange(kinds, done + 1, through));
    return db_.Execute(
        absl::StrCat("REPLACE INTO bookmark(name, value) VALUES('pruned_through',", through, ")"));
  }));
  return pruned;
}

absl::StatusOr<uint64_t> SqliteJournal::PruneRange(absl::Span<const int32_t> kinds, uint64_t first,
                                                   uint64_t last) {
  struct Gap {
    uint64_t first, last;
    Time at;
    uint64_t sum;
  };
  std::vector<Gap> gaps;
  uint64_t pruned = 0;
  // The gap that ends ahead of the range, if there is one, grows into it.
  const uint64_t walk_from = first > 1 ? first - 1 : first;
  LR_RETURN_IF_ERROR(WalkRows(
      db_, walk_from, std::nullopt,
      [&](const Row& row) {
        if (row.record.seq > last) return false;
        const bool is_gap = row.record.kind == kPrunedGap;
        const bool wanted = row.record.seq >= first &&
                            std::find(kinds.begin(), kinds.end(), row.record.kind) != kinds.end();
        if (!is_gap && !wanted) return true;
        if (wanted) ++pruned;
        if (gaps.empty() || gaps.back().last + 1 != row.first_seq) {
          gaps.push_back({row.first_seq, 0, {}, 0});
        }
        gaps.back().last = row.record.seq;
        gaps.back().at = row.record.at;
        gaps.back().sum = row.sum;
        return true;
      },
      [](const BrokenRows&) { return true; }));
  LR_ASSIGN_OR_RETURN(Statement remove,
                      db_.Prepare("DELETE FROM record WHERE seq BETWEEN ? AND ?"));
  for (const Gap& gap : gaps) {
    remove.Bind(1, static_cast<int64_t>(gap.first));
    remove.Bind(2, static_cast<int64_t>(gap.last));
    LR_RETURN_IF_ERROR(remove.Run());
    LR_RETURN_IF_ERROR(writer_->InsertGap(kPrunedGap, gap.first, gap.last, gap.at, gap.sum));
  }
  return pruned;
}

}  // namespace longrun::control
