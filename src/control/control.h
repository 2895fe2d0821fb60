// The loop that everything goes through: facts and requests in, journal, decisions, journal, wishes
// out. One turn is
//
//   observe → fold → decide (recovery, placement) → fold → commit to the journal → apply to the engine
//
// and nothing leaves the turn before the journal has it on disk: no wish reaches an engine, no request
// is acknowledged, no fact is acknowledged to its node. A crash at any instruction therefore loses
// nothing that anybody was told of, and the next controller, folding the journal, wishes the same.
//
// One thread owns a Control and calls all of it. It reads no clock and sleeps in no place but
// Engine::Observe. control/service.h puts it on a thread for programs that serve others meanwhile.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "base/time.h"
#include "control/journal.h"
#include "engine/engine.h"
#include "fleet/state.h"
#include "placement/placement.h"
#include "recovery/recovery.h"

namespace longrun::control {

struct Config {
  recovery::Config recovery;
  placement::Config placement;
  uint64_t seed = 1;
  // A snapshot each so many events bounds the replay at the next start.
  uint64_t snapshot_every_events = 20'000;
  // A node whose facts do not yet agree with what was wished is told again after this time.
  Duration repeat_wishes_after = Duration::Seconds(1);
};

class Control {
 public:
  // `journal` and `engine` must outlive it.
  Control(Journal* journal, engine::Engine* engine, Config config);

  // Folds what the journal holds, writes `started` to it and tells the engine which nodes to expect.
  absl::Status Open(Time now, const fleet::ControllerStarted& started);

  // One turn. `requests` are in the journal when it returns OK; a request that the state does not
  // allow (an unknown run, a name in use) must have been refused by Check before.
  absl::Status Turn(Time now, std::vector<fleet::Event> facts,
                    std::vector<fleet::EventBody> requests);

  // Whether a request would be accepted now; the message is for the user.
  absl::Status Check(const fleet::EventBody& request) const;

  const fleet::State& state() const { return state_; }
  uint64_t journal_seq() const { return seq_; }

 private:
  absl::Status Fold(fleet::Event event);
  absl::Status Decide(Time now);
  void SendWishes(Time now);
  absl::Status MaybeSnapshot(Time now);

  struct Wish {
    uint64_t session = 0;
    uint64_t hash = 0;  // of what was wished last, its revision left out
    Time sent;
  };

  Journal* journal_;
  engine::Engine* engine_;
  Config config_;
  Random random_;
  fleet::State state_;
  uint64_t seq_ = 0;
  uint64_t snapshot_seq_ = 0;
  std::vector<Record> batch_;                           // folded, not yet in the journal
  std::map<fleet::NodeId, std::pair<uint64_t, uint64_t>> acknowledge_;  // node → session, seq
  std::map<fleet::NodeId, Wish> wishes_;
};

// The record of an event, and back. An error names the record.
Record RecordOf(uint64_t seq, const fleet::Event& event);
absl::StatusOr<fleet::Event> EventOf(const Record& record);

}  // namespace longrun::control
