// The journal: what happened and what was decided, in order, durable before anything acts on it.
//
// A journal knows bytes alone: what a record means is its reader's matter. Records are numbered
// densely from 1. Append() buffers, Commit() makes all that was buffered durable at once (group
// commit): whoever acts on a record does so after the Commit() that covers it. A snapshot is the
// reader's state after the record `seq`; opening again reads the newest snapshot and the records
// after it. The newest two snapshots are kept, so that a damaged one costs nothing but time.
//
// One thread at a time may call a journal; it is owned by the control loop (or by a reader's own
// command, opened read-only).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "base/status.h"
#include "base/time.h"

namespace longrun::control {

struct Record {
  uint64_t seq = 0;  // from 1, dense; assigned by Append
  Time at;           // never decreasing along the journal
  int32_t kind = 0;  // the reader's; at least 0
  std::string payload;
};

// A record while it is being read; `payload` lives until the callback returns.
struct RecordView {
  uint64_t seq = 0;
  Time at;
  int32_t kind = 0;
  std::string_view payload;
};

struct Snapshot {
  uint64_t seq = 0;  // the last record it holds
  Time at;           // of that record
  std::string payload;
};

// What opening or reading found to be broken, and what became of it.
struct Damage {
  std::string what = {};   // for the user: the file, what is wrong with it, what was done
  uint64_t first_seq = 0;  // the first record lost or not to be trusted; 0: none, as far as known
  std::optional<uint64_t> records_lost = {};  // absent: the damage hides how many
  std::string moved_to = {};    // the file that keeps the damaged part; "" where nothing was moved
  bool below_snapshot = false;  // only history is lost; the state is whole
};

class Journal {
 public:
  using Visitor = absl::FunctionRef<bool(const RecordView&)>;  // false: read no further

  virtual ~Journal() = default;

  // Buffers a record and returns its number. `at` is not before the record ahead of it, `kind` is
  // at least 0.
  virtual uint64_t Append(Time at, int32_t kind, std::string_view payload) = 0;

  // Makes every buffered record durable, or none of them. After an error the records stay buffered:
  // ResourceExhausted (a full disk) may be tried again once there is room; any other error stays,
  // and only opening the journal again tells what is on the disk.
  virtual absl::Status Commit() = 0;

  // Calls `visit` with each committed record from `from_seq` on, in order; numbers taken out by
  // Prune are missing. Records that are damaged are left out: the rest is read, then DataLoss says
  // which are missing.
  virtual absl::Status Read(uint64_t from_seq, Visitor visit) = 0;

  // Makes the state after record `seq` durable; `seq` is committed and at least the newest
  // snapshot's. An error leaves the older snapshots as they were.
  virtual absl::Status WriteSnapshot(uint64_t seq, std::string_view payload) = 0;

  // The newest snapshot that is whole, or nothing. A damaged newer one is told of by damages().
  virtual absl::StatusOr<std::optional<Snapshot>> NewestSnapshot() = 0;

  // Takes out the records of `kinds` numbered up to `through_seq`, as far as the older of the two
  // snapshots covers them (less than two snapshots: none). Never looks twice at the same records,
  // so that it is cheap to call after each snapshot. Returns how many it took out.
  virtual absl::StatusOr<uint64_t> Prune(absl::Span<const int32_t> kinds, uint64_t through_seq) = 0;

  // The last committed record's number and time; 0 and never in a new journal.
  virtual uint64_t last_seq() const = 0;
  virtual Time last_at() const = 0;
  // How many records wait for Commit().
  virtual size_t pending() const = 0;

  // What was found broken since opening, oldest first.
  virtual const std::vector<Damage>& damages() const = 0;

  absl::Status AppendAndCommit(Time at, int32_t kind, std::string_view payload) {
    Append(at, kind, payload);
    return Commit();
  }
};

}  // namespace longrun::control
