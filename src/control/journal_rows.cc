#include "control/journal_rows.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace longrun::control {
namespace {

constexpr int64_t kLargestSeq = int64_t{1} << 62;
constexpr size_t kGapBytes = 16;

uint64_t GapSum(int32_t kind, uint64_t first_seq, uint64_t last_seq, Time at, uint64_t sum) {
  const uint64_t fields[] = {static_cast<uint64_t>(kind), first_seq, last_seq,
                             static_cast<uint64_t>(at.us), sum};
  return XXH3_64bits(fields, sizeof(fields));
}

bool TypesAreRight(Statement& statement) {
  for (int column = 0; column < 5; ++column) {
    if (column != 3 && !statement.IsInt(column)) return false;
  }
  return true;
}

// What a row is, seen by itself. False: not even its form is right.
bool ParseRow(Statement& statement, Row& row) {
  if (!TypesAreRight(statement)) return false;
  const int64_t seq = statement.Int(0);
  const int64_t kind = statement.Int(2);
  if (seq < 1 || seq > kLargestSeq || kind < kLostGap || kind > INT32_MAX) return false;
  row.record = {static_cast<uint64_t>(seq), Time{statement.Int(1)}, static_cast<int32_t>(kind),
                statement.Blob(3)};
  row.sum = static_cast<uint64_t>(statement.Int(4));
  row.first_seq = row.record.seq;
  if (kind >= 0) return true;
  if (row.record.payload.size() != kGapBytes) return false;
  uint64_t own_sum = 0;
  std::memcpy(&row.first_seq, row.record.payload.data(), 8);
  std::memcpy(&own_sum, row.record.payload.data() + 8, 8);
  row.record.payload = {};
  return row.first_seq >= 1 && row.first_seq <= row.record.seq &&
         own_sum == GapSum(row.record.kind, row.first_seq, row.record.seq, row.record.at, row.sum);
}

class Walk {
 public:
  Walk(Database& db, uint64_t from_seq, std::optional<uint64_t> previous,
       absl::FunctionRef<bool(const Row&)> row, absl::FunctionRef<bool(const BrokenRows&)> broken)
      : db_(db), next_(from_seq), sum_(previous), row_(row), broken_(broken) {}

  absl::Status Run() {
    if (!sum_ && next_ == 1) sum_ = kChainStart;
    if (!sum_) LR_RETURN_IF_ERROR(FindPrevious());
    // A page that cannot be read ends a statement; the next one starts behind it.
    uint64_t start = next_;
    uint64_t stride = 1;
    while (true) {
      const uint64_t before = next_;
      const absl::Status status = RunFrom(start);
      if (!absl::IsDataLoss(status)) {
        if (status.ok() && !stopped_ && !unreadable_.empty()) Unreadable(next_, next_);
        return status;
      }
      if (stopped_) return absl::OkStatus();
      unreadable_ = std::string(status.message());
      stride = next_ > before ? 1 : stride * 2;
      start = (next_ > before ? next_ : start) + stride;
      if (start > static_cast<uint64_t>(kLargestSeq)) {
        Unreadable(next_, next_);
        return absl::OkStatus();
      }
    }
  }

 private:
  absl::Status FindPrevious() {
    absl::StatusOr<Statement> select =
        db_.Prepare("SELECT seq, at, kind, payload, sum FROM record WHERE seq = ?");
    if (!select.ok()) return absl::IsDataLoss(select.status()) ? absl::OkStatus() : select.status();
    select->Bind(1, static_cast<int64_t>(next_ - 1));
    const absl::StatusOr<bool> found = select->Step();
    if (!found.ok() && !absl::IsDataLoss(found.status())) return found.status();
    Row row;
    if (found.ok() && *found && ParseRow(*select, row)) sum_ = row.sum;
    return absl::OkStatus();
  }

  absl::Status RunFrom(uint64_t start) {
    LR_ASSIGN_OR_RETURN(
        Statement select,
        db_.Prepare("SELECT seq, at, kind, payload, sum FROM record WHERE seq >= ? ORDER BY seq"));
    select.Bind(1, static_cast<int64_t>(start));
    while (!stopped_) {
      LR_ASSIGN_OR_RETURN(const bool there, select.Step());
      if (!there) break;
      Take(select);
    }
    return absl::OkStatus();
  }

  void Take(Statement& select) {
    Row row;
    const bool well_formed = ParseRow(select, row);
    const uint64_t seq = static_cast<uint64_t>(select.Int(0));
    if (select.Int(0) < static_cast<int64_t>(next_)) return;  // a page listed twice
    if (!well_formed) {
      Broken({next_, seq, std::nullopt, "the row is malformed"});
      return;
    }
    if (row.record.kind < 0) {
      // A gap row that begins before this walk stands for what is left of it.
      if (row.first_seq > next_) MissingBefore(row.first_seq);
      if (!stopped_) Deliver(row);
      return;
    }
    if (seq > next_) {
      // The rows before it are missing, and without them it cannot be proved itself; the ones
      // behind it can.
      const bool corrupt = !unreadable_.empty();
      Broken({next_, seq, row.sum, corrupt ? unreadable_ : "rows are missing"});
      return;
    }
    if (!sum_) {
      Broken({next_, seq, row.sum, "nothing proves the row, the one before it is lost"});
    } else if (ChainSum(*sum_, row.record) != row.sum) {
      Broken({next_, seq, row.sum, "the checksum does not match"});
    } else {
      Deliver(row);
    }
  }

  void Deliver(const Row& row) {
    stopped_ = !row_(row);
    sum_ = row.sum;
    next_ = row.record.seq + 1;
  }

  void Broken(const BrokenRows& rows) {
    stopped_ = !broken_(rows);
    sum_ = rows.sum;
    next_ = rows.last_seq + 1;
    unreadable_.clear();
  }

  void MissingBefore(uint64_t seq) {
    Broken({next_, seq - 1, std::nullopt, unreadable_.empty() ? "rows are missing" : unreadable_});
  }

  void Unreadable(uint64_t first, uint64_t last) {
    Broken({first, last, std::nullopt, unreadable_});
  }

  Database& db_;
  uint64_t next_;
  std::optional<uint64_t> sum_;
  absl::FunctionRef<bool(const Row&)> row_;
  absl::FunctionRef<bool(const BrokenRows&)> broken_;
  std::string unreadable_;  // why the rows from next_ on could not be read
  bool stopped_ = false;
};

}  // namespace

uint64_t ChainSum(uint64_t previous, const RecordView& record) {
  const uint64_t head[] = {previous, record.seq, static_cast<uint64_t>(record.at.us),
                           static_cast<uint64_t>(record.kind)};
  return XXH3_64bits_withSeed(record.payload.data(), record.payload.size(),
                              XXH3_64bits(head, sizeof(head)));
}

absl::Status WalkRows(Database& db, uint64_t from_seq, std::optional<uint64_t> previous,
                      absl::FunctionRef<bool(const Row&)> row,
                      absl::FunctionRef<bool(const BrokenRows&)> broken) {
  LR_CHECK_GE(from_seq, 1u);
  return Walk(db, from_seq, previous, row, broken).Run();
}

absl::StatusOr<RowWriter> RowWriter::Prepare(Database& db) {
  const std::string what = " INTO record(seq, at, kind, payload, sum) VALUES(?,?,?,?,?)";
  RowWriter writer;
  LR_ASSIGN_OR_RETURN(writer.insert_, db.Prepare("INSERT" + what));
  LR_ASSIGN_OR_RETURN(writer.replace_, db.Prepare("REPLACE" + what));
  return writer;
}

absl::Status RowWriter::Write(Statement& statement, const RecordView& record, uint64_t sum) {
  statement.Bind(1, static_cast<int64_t>(record.seq));
  statement.Bind(2, record.at.us);
  statement.Bind(3, record.kind);
  statement.BindBlob(4, record.payload);
  statement.Bind(5, static_cast<int64_t>(sum));
  return statement.Run();
}

absl::Status RowWriter::Insert(const RecordView& record, uint64_t sum) {
  return Write(insert_, record, sum);
}

absl::Status RowWriter::InsertGap(int32_t kind, uint64_t first_seq, uint64_t last_seq, Time at,
                                  uint64_t sum) {
  const uint64_t own_sum = GapSum(kind, first_seq, last_seq, at, sum);
  char payload[kGapBytes];
  std::memcpy(payload, &first_seq, 8);
  std::memcpy(payload + 8, &own_sum, 8);
  return Write(replace_, {last_seq, at, kind, {payload, kGapBytes}}, sum);
}

}  // namespace longrun::control
