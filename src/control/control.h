// The loop that everything goes through: facts and requests in, journal, decisions, journal, wishes
// out. One turn is
//
//   observe → fold → decide (recovery, placement) → fold → commit to the journal → apply to the
//   engine
//
// and nothing leaves the turn before the journal has it on disk: no wish reaches an engine, no
// request is acknowledged, no fact is acknowledged to its node. A crash at any instruction
// therefore loses nothing that anybody was told of, and the next controller, folding the journal,
// wishes the same.
//
// One thread owns a Control and calls all of it. It reads no clock and sleeps in no place but
// Engine::Observe. control/service.h puts it on a thread for programs that serve others meanwhile.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
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

  // Folds what the journal holds, writes `started` to it and tells the engine which nodes it knows.
  absl::Status Open(Time now, const fleet::ControllerStarted& started);

  // One turn. `requests` are in the journal when it returns OK; a request that the state does not
  // allow (an unknown run, a name in use) must have been refused by Check before. ResourceExhausted
  // (a full disk): nothing left the turn, and the next one tries again; any other error is final.
  absl::Status Turn(Time now, std::vector<fleet::Event> facts,
                    std::vector<fleet::EventBody> requests);

  // Whether a request would be accepted now; the message is for the user.
  absl::Status Check(const fleet::EventBody& request) const;

  const fleet::State& state() const { return state_; }
  uint64_t journal_seq() const { return seq_; }

  // Events of the last turn that changed the state, with their place in the journal.
  struct Folded {
    uint64_t seq = 0;
    fleet::Event event;
  };
  std::vector<Folded> TakeFolded() { return std::exchange(folded_, {}); }

 private:
  void Fold(fleet::Event event);
  void Decide(Time now);
  void MarkTouched(const fleet::Event& event);
  void SendWishes(Time now);
  void SendWish(const fleet::Node& node, Time now, bool repeat);
  absl::Status MaybeSnapshot();

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
  uint64_t seq_ = 0;  // of the newest record, buffered ones included
  uint64_t snapshot_seq_ = 0;
  std::vector<Folded> folded_;
  std::map<fleet::NodeId, std::pair<uint64_t, uint64_t>> acknowledge_;  // node → session, seq
  std::map<fleet::NodeId, Wish> wishes_;
  std::set<fleet::NodeId> touched_;  // what was wished of them may be out of date
};

// The event of a record; an error names the record.
absl::StatusOr<fleet::Event> EventOf(const RecordView& record);

// Folds a journal into a state: its newest snapshot and the records after it.
absl::StatusOr<fleet::State> FoldJournal(Journal& journal);

}  // namespace longrun::control
