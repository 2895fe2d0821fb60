// The rows of a journal's database, and how they are proved to be whole.
//
// Each row carries a sum over itself and the sum of the row before it, so a row that was changed,
// lost, doubled or exchanged breaks the chain where it stands. Where rows are missing on purpose
// (pruned) or were lost and replaced after a repair, one gap row stands for all of them: it holds
// the first number of the gap, the sum with which the chain goes on, and a sum over itself.
//
// Rows are read through one connection, by its thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "base/status.h"
#include "control/journal.h"
#include "control/sqlite_database.h"

namespace longrun::control {

// The sum ahead of record 1.
inline constexpr uint64_t kChainStart = 0x4c6f6e6772756e31ull;

// XXH3 (64 bits) over the previous sum and the record.
uint64_t ChainSum(uint64_t previous, const RecordView& record);

// Kinds of gap rows; records have kinds of at least 0.
inline constexpr int32_t kPrunedGap = -1;
inline constexpr int32_t kLostGap = -2;

struct Row {
  RecordView record;       // of a gap row: its last number, the time of that record, no payload
  uint64_t sum = 0;        // of the chain, after this row
  uint64_t first_seq = 0;  // of a gap row: the first number it stands for; else record.seq
};

// A stretch of the journal that cannot be read or trusted.
struct BrokenRows {
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
  std::optional<uint64_t> sum;  // with which the chain goes on after last_seq
  std::string what;
};

// Walks the rows from `from_seq` on in order, checking the chain from `previous` (nothing: the sum
// stored in the row before is taken, or else the first row is what cannot be trusted). Each number
// belongs to exactly one call: of `row` when it is whole, of `broken` when not. Either ends the
// walk by returning false. The walk goes on behind damage as far as anything can be read. An error
// is one of the machine (input/output, a lock), never of the content.
absl::Status WalkRows(Database& db, uint64_t from_seq, std::optional<uint64_t> previous,
                      absl::FunctionRef<bool(const Row&)> row,
                      absl::FunctionRef<bool(const BrokenRows&)> broken);

// Writes rows; a statement prepared once.
class RowWriter {
 public:
  static absl::StatusOr<RowWriter> Prepare(Database& db);
  absl::Status Insert(const RecordView& record, uint64_t sum);
  // `kind`: kPrunedGap or kLostGap. Replaces the row `last_seq`, if there is one.
  absl::Status InsertGap(int32_t kind, uint64_t first_seq, uint64_t last_seq, Time at,
                         uint64_t sum);

 private:
  static absl::Status Write(Statement& statement, const RecordView& record, uint64_t sum);

  Statement insert_;
  Statement replace_;
};

}  // namespace longrun::control
