// All that can happen, in the words of the journal: facts that an engine observed, requests of
// users, decisions of Longrun. fleet::State is a fold of these and of nothing else.
//
// Events are written to the journal: fields are added at the end and never removed (base/codec.h),
// and so are alternatives of EventBody.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "fleet/ids.h"
#include "fleet/spec.h"

namespace longrun::fleet {

// The steps of the recovery ladder, and the two that are no recovery.
enum class Rung {
  kStart,           // first membership
  kException,       // a collective broke though all are alive: the same ranks form a new group
  kRestartProcess,  // a new process takes the dead one's rank, state from a peer
  kSwapSpare,       // a waiting spare takes the dead one's rank, state from a peer
  kShrink,          // go on without the replica
  kGrow,            // back toward the full gang
  kRestartGang,     // all anew, from the newest whole checkpoint
  kResetDevice,
  kRestartNode,
  kRepair,
};
const char* RungName(Rung rung);

enum class Phase {
  kPending,   // waits for room
  kStarting,  // placed, not every rank part of the gang yet
  kRunning,
  kRecovering,  // a fault, until every rank has joined the next incarnation
  kStopping,    // cancelled, until the last process is gone
  kSucceeded,
  kFailed,
  kCancelled,
};
const char* PhaseName(Phase phase);
inline bool IsFinal(Phase phase) { return phase >= Phase::kSucceeded; }

// ---- facts ----

// A node offers itself. A new session means that nothing of the one before is left on the node.
struct NodeJoined {
  NodeId node;
  uint64_t session = 0;
  SiteId site;
  std::string address;                        // host that peers reach its ranks under
  std::map<std::string, std::string> labels;  // rack, hall, …
  int accelerators = 0;
  std::string type;
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  template <class A>
  void Visit(A& a) {
    a("node", node);
    a("session", session);
    a("site", site);
    a("address", address);
    a("labels", labels);
    a("accelerators", accelerators);
    a("type", type);
    a("cpu_milli", cpu_milli);
    a("memory_bytes", memory_bytes);
  }
};

// The node is gone, and so is every process of that session.
struct NodeLost {
  NodeId node;
  uint64_t session = 0;
  std::string reason;
  template <class A>
  void Visit(A& a) {
    a("node", node);
    a("session", session);
    a("reason", reason);
  }
};

struct MemberStarted {
  RunId run;
  MemberId member = 0;
  int64_t pid = 0;
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
    a("pid", pid);
  }
};

// The process speaks the rank protocol and waits for a membership.
struct MemberReady {
  RunId run;
  MemberId member = 0;
  std::string endpoint;
  int64_t step = 0;
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
    a("endpoint", endpoint);
    a("step", step);
  }
};

// The process is part of the incarnation's group and holds the state after `step`.
struct MemberJoined {
  RunId run;
  MemberId member = 0;
  uint64_t incarnation = 0;
  int64_t step = 0;
  std::string source;  // own, peer, checkpoint, start
  double seconds = 0;  // from the membership to here
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
    a("incarnation", incarnation);
    a("step", step);
    a("source", source);
    a("seconds", seconds);
  }
};

// The process has applied the optimizer step. The run's step is committed when all ranks have.
struct MemberCommitted {
  RunId run;
  MemberId member = 0;
  uint64_t incarnation = 0;
  int64_t step = 0;
  double loss = 0;
  int64_t tokens = 0;  // of this step, over the whole gang
  double seconds = 0;  // of this step
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
    a("incarnation", incarnation);
    a("step", step);
    a("loss", loss);
    a("tokens", tokens);
    a("seconds", seconds);
  }
};

// The process met a broken collective and waits for the next membership.
struct MemberBroken {
  RunId run;
  MemberId member = 0;
  uint64_t incarnation = 0;
  std::string what;
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
    a("incarnation", incarnation);
    a("what", what);
  }
};

// The process has long waited for its peers, its own part of the step after `step` done.
struct MemberWaiting {
  RunId run;
  MemberId member = 0;
  uint64_t incarnation = 0;
  int64_t step = 0;  // last applied
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
    a("incarnation", incarnation);
    a("step", step);
  }
};

// The process lives but answers nothing (stopped, or wedged below its own threads).
struct MemberSilent {
  RunId run;
  MemberId member = 0;
  double seconds = 0;
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
    a("seconds", seconds);
  }
};

// Exactly one of: exited with `code` (signal 0), killed by `signal`, never started (code 126 or
// 127, `what` says why).
struct MemberExited {
  RunId run;
  MemberId member = 0;
  int code = 0;
  int signal = 0;
  std::string what;  // last lines of standard error, or why it could not start
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
    a("code", code);
    a("signal", signal);
    a("what", what);
  }
};

struct CheckpointPublished {
  RunId run;
  MemberId member = 0;
  int64_t step = 0;
  double seconds = 0;        // from snapshot to publication
  double stall_seconds = 0;  // for which training stood still
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
    a("step", step);
    a("seconds", seconds);
    a("stall_seconds", stall_seconds);
  }
};

struct MetricReported {
  RunId run;
  MemberId member = 0;
  std::string name;
  double value = 0;
  int64_t step = 0;
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
    a("name", name);
    a("value", value);
    a("step", step);
  }
};

// A line of the run's story, from the program itself.
struct MemberSaid {
  RunId run;
  MemberId member = 0;
  std::string text;
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
    a("text", text);
  }
};

// ---- requests ----

struct RunSubmitted {
  RunSpec spec;
  std::string manifest;  // as it was given
  template <class A>
  void Visit(A& a) {
    a("spec", spec);
    a("manifest", manifest);
  }
};

struct CancelRequested {
  RunId run;
  std::string reason;
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("reason", reason);
  }
};

// A fault put in on purpose; here so that `why` can tell it from a real one.
struct FaultInjected {
  std::string kind;  // kill-rank, hang-rank, kill-node, kill-controller
  RunId run;
  int rank = -1;
  NodeId node;
  template <class A>
  void Visit(A& a) {
    a("kind", kind);
    a("run", run);
    a("rank", rank);
    a("node", node);
  }
};

struct ControllerStarted {
  std::string version;
  int64_t pid = 0;
  template <class A>
  void Visit(A& a) {
    a("version", version);
    a("pid", pid);
  }
};

// ---- decisions ----

struct Placement {
  MemberId member = 0;
  NodeId node;
  std::vector<int> accelerators;
  template <class A>
  void Visit(A& a) {
    a("member", member);
    a("node", node);
    a("accelerators", accelerators);
  }
};

// A new membership of the run. `gang[r]` is the member that is rank r; each is alive or in
// `placed`.
struct IncarnationDecided {
  RunId run;
  uint64_t incarnation = 0;
  Rung rung = Rung::kStart;
  std::string reason;
  std::vector<MemberId> gang;
  std::vector<Placement> placed;
  std::string master_address;  // for programs that rendezvous by MASTER_ADDR
  int master_port = 0;
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("incarnation", incarnation);
    a("rung", rung);
    a("reason", reason);
    a("gang", gang);
    a("placed", placed);
    a("master_address", master_address);
    a("master_port", master_port);
  }
};

// Members beside the gang: spares, and newcomers that a later incarnation takes in.
struct ReservePlaced {
  RunId run;
  std::vector<Placement> placed;
  std::string reason;
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("placed", placed);
    a("reason", reason);
  }
};

// These processes are to end; `kill`: at once, for what can't answer. Their slots stay taken until
// they are seen to be gone.
struct MembersStopped {
  RunId run;
  std::vector<MemberId> members;
  bool kill = false;
  std::string reason;
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("members", members);
    a("kill", kill);
    a("reason", reason);
  }
};

// Why a run does not go on just now; decided anew when the reason changes.
struct RunWaits {
  RunId run;
  std::string reason;
  Time until;  // 0: until something changes
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("reason", reason);
    a("until", until);
  }
};

// The run is over.
struct RunFinished {
  RunId run;
  Phase phase = Phase::kSucceeded;
  std::string reason;
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("phase", phase);
    a("reason", reason);
  }
};

using EventBody =
    std::variant<NodeJoined, NodeLost, MemberStarted, MemberReady, MemberJoined, MemberCommitted,
                 MemberBroken, MemberSilent, MemberExited, CheckpointPublished, MetricReported,
                 MemberSaid, RunSubmitted, CancelRequested, FaultInjected, ControllerStarted,
                 IncarnationDecided, ReservePlaced, MembersStopped, RunWaits, RunFinished,
                 MemberWaiting>;

// Which node's agent observed the fact, and its place in that session's own order: the fold takes
// each (session, seq) once and in order, so messages may be repeated or late without harm.
struct Source {
  NodeId node;  // empty: not from a node
  uint64_t session = 0;
  uint64_t seq = 0;
  template <class A>
  void Visit(A& a) {
    a("node", node);
    a("session", session);
    a("seq", seq);
  }
};

struct Event {
  Time at;
  Source source;
  EventBody body;
  template <class A>
  void Visit(A& a) {
    a("at", at);
    a("source", source);
    a("body", body);
  }
};

// "IncarnationDecided", for the journal's kind column and for people.
const char* EventName(const EventBody& body);
// The run the event speaks of; empty where none.
RunId RunOf(const EventBody& body);
// True for what Longrun decided, false for what it was told.
bool IsDecision(const EventBody& body);
// One line for people: "rank 2 (member 3 on node-1) was killed by signal 9".
std::string Describe(const EventBody& body);

}  // namespace longrun::fleet
