// How the ranks of a new incarnation come to hold the same state: each says which step it has
// applied; those behind receive parameters and optimizer state from those ahead, over the new
// group.
//
// A step is committed once every rank has applied it, so whoever died, a survivor holds each
// committed step. When nobody has any (a new run, or all were lost), rank 0 looks on the disk and
// is then the one ahead.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "training/session.h"
#include "training/train_state.h"

namespace longrun::training {

// What a rank says of itself.
struct SyncRow {
  int64_t step = 0;             // applied; kNoState: none
  int64_t evaluated_step = -1;  // last step this rank has seen evaluated
  int64_t threads = 0;
  uint64_t config_hash = 0;

  static constexpr int64_t kColumns = 4;
};

struct SyncPlan {
  int64_t step = 0;             // where all will be
  std::vector<int64_t> source;  // source[r]: the rank that serves rank r; -1: r has it
  bool broadcast = false;       // one serves all others
};

// Pure: every rank makes the same plan from the same rows. InvalidArgument when the ranks train
// different things.
absl::StatusOr<SyncPlan> PlanSync(const std::vector<SyncRow>& rows);

struct SyncResult {
  std::string source = "own";    // own, peer, checkpoint or start
  std::vector<SyncRow> rows;     // after the transfer
  std::vector<FlightPtr> sends;  // to peers, still under way: wait before changing the state
  int64_t source_threads = 0;    // threads of the rank that served this one; 0: none did
  double exchange_seconds = 0, transfer_seconds = 0;
};

// Brings `state` to the gang's step. `load` is called on rank 0 when nobody has trained yet: it
// takes the newest whole checkpoint into `state` and returns true, or false where there is none.
absl::StatusOr<SyncResult> Synchronize(Session* session, TrainState* state, SyncRow own,
                                       const std::function<absl::StatusOr<bool>()>& load);

}  // namespace longrun::training
