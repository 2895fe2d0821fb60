// The one seam to the world: facts come in by Observe, wishes go out by Apply. Engines pass one
// contract suite (engine/contract.h).
//
// What an engine promises:
//  - Facts of one node session come in the order of their seq; they may be repeated, and may stop
//  at
//    any point when the node dies. Those not acknowledged are told again to the next controller.
//  - NodeLost is told for a session when it is certain that no process of it is left or that none
//  will
//    be left before the node joins again, with a new session.
//  - Apply is a wish: it may be lost. The engine's node works toward the newest revision that
//  reached
//    it; control applies again until the facts agree.
//  - A member is started at most once. Its slots are free when MemberExited (or NodeLost) is told.
//
// Owned and called by control's one thread, but for Wake, which any thread may call.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "fleet/desired.h"
#include "fleet/event.h"

namespace longrun::engine {

// A fault put in on purpose.
struct Fault {
  enum class Kind { kKillMember, kHangMember, kKillNode } kind = Kind::kKillMember;
  fleet::RunId run;
  fleet::MemberId member = 0;
  fleet::NodeId node;  // where it sits, or which to kill
};

class Engine {
 public:
  virtual ~Engine() = default;

  // Takes all facts there are, waiting up to `patience` for a first one. `at` is left for control
  // to set. Returns early when woken.
  virtual std::vector<fleet::Event> Observe(Duration patience) = 0;

  // Facts of the session up to `seq` are in the journal: they need not be told again.
  virtual void Acknowledge(const fleet::NodeId& node, uint64_t session, uint64_t seq) = 0;

  virtual void Apply(const fleet::NodeDesired& desired) = 0;

  virtual absl::Status Inject(const Fault& fault) = 0;

  // The nodes that the journal knows, told once when a controller starts. Those that it believes to
  // be up and that do not show up again in time must be told lost; the sessions of those that are
  // not up are over: an agent that still lives in one ends what it runs and joins anew.
  virtual void Expect(const std::vector<fleet::Node>& nodes) = 0;

  // Ends a wait in Observe.
  virtual void Wake() = 0;
};

}  // namespace longrun::engine
