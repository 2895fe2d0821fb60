// What is known of the fleet: a fold of the journal's events, changed by Apply and by nothing else.
//
// Plain values, owned by whoever folds; no locks, no clocks, no I/O. The same events in the same
// order give the same state, bit for bit (HashOf(state)).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "fleet/accounts.h"
#include "fleet/event.h"
#include "fleet/ids.h"
#include "fleet/spec.h"

namespace longrun::fleet {

// Who holds an accelerator of a node. run empty: free.
struct Holder {
  RunId run;
  MemberId member = 0;
  bool operator==(const Holder&) const = default;
  template <class A>
  void Visit(A& a) {
    a("run", run);
    a("member", member);
  }
};

struct Node {
  NodeId id;
  SiteId site;
  std::string address;
  std::map<std::string, std::string> labels;
  std::string type;
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  uint64_t session = 0;
  uint64_t last_seq = 0;  // newest event of this session that was folded
  bool up = false;
  std::vector<Holder> slots;  // one per accelerator
  int64_t cpu_used_milli = 0;
  int64_t memory_used_bytes = 0;
  Time changed;
  std::string lost_reason;

  template <class A>
  void Visit(A& a) {
    a("id", id);
    a("site", site);
    a("address", address);
    a("labels", labels);
    a("type", type);
    a("cpu_milli", cpu_milli);
    a("memory_bytes", memory_bytes);
    a("session", session);
    a("last_seq", last_seq);
    a("up", up);
    a("slots", slots);
    a("cpu_used_milli", cpu_used_milli);
    a("memory_used_bytes", memory_used_bytes);
    a("changed", changed);
    a("lost_reason", lost_reason);
  }
};

enum class MemberPhase {
  kPlaced,   // holds its slots; the agent is asked to start it (or to keep them, see Member::held)
  kStarted,  // the process runs
  kReady,    // it speaks the protocol and waits for, or is in, a membership
  kExited,   // gone; its slots are free
};

// A process of a run. Kept after its exit until the run's next incarnation has no use for it.
struct Member {
  MemberId id = 0;
  MemberPhase phase = MemberPhase::kPlaced;
  NodeId node;
  std::vector<int> accelerators;
  uint64_t placed_for = 0;  // incarnation it was started for (its environment says so)
  int rank = -1;            // in the newest incarnation; -1: beside the gang
  int64_t pid = 0;
  std::string endpoint;
  uint64_t joined = 0;  // newest incarnation it has joined
  uint64_t broken = 0;  // newest incarnation it has reported a broken collective of
  int64_t applied_step = 0;
  bool has_state = false;  // has joined some incarnation: holds parameters worth taking
  bool waiting = false;    // for its peers, since its last step
  bool silent = false;
  bool stopping = false;
  bool killing = false;
  int exit_code = 0;
  int exit_signal = 0;
  std::string exit_what;
  Time placed_at;
  Time changed_at;   // newest change of phase
  Time progress_at;  // newest sign of work: a join, a commit, a checkpoint, a figure

  bool alive() const { return phase != MemberPhase::kExited; }
  // Alive, and nothing says that it will not stay so.
  bool sound() const { return alive() && !silent && !stopping; }
  bool ready() const { return phase == MemberPhase::kReady && sound(); }
  bool clean_exit() const {
    return phase == MemberPhase::kExited && exit_code == 0 && exit_signal == 0;
  }

  template <class A>
  void Visit(A& a) {
    a("id", id);
    a("phase", phase);
    a("node", node);
    a("accelerators", accelerators);
    a("placed_for", placed_for);
    a("rank", rank);
    a("pid", pid);
    a("endpoint", endpoint);
    a("joined", joined);
    a("applied_step", applied_step);
    a("has_state", has_state);
    a("silent", silent);
    a("stopping", stopping);
    a("killing", killing);
    a("exit_code", exit_code);
    a("exit_signal", exit_signal);
    a("exit_what", exit_what);
    a("placed_at", placed_at);
    a("changed_at", changed_at);
    a("progress_at", progress_at);
    a("broken", broken);
    a("waiting", waiting);
  }
};

// One fault and what became of it.
struct Recovery {
  std::string cause;  // "rank 2 (member 3 on node-1) was killed by signal 9"
  Rung rung = Rung::kStart;
  uint64_t incarnation = 0;  // that ended the recovery; 0: not over
  Time fault_at;
  Time joined_at;  // every rank part of the new incarnation
  Time over_at;    // first step committed after it; never: not over
  int64_t steps_lost = 0;

  template <class A>
  void Visit(A& a) {
    a("cause", cause);
    a("rung", rung);
    a("incarnation", incarnation);
    a("fault_at", fault_at);
    a("joined_at", joined_at);
    a("over_at", over_at);
    a("steps_lost", steps_lost);
  }
};

struct Metric {
  double value = 0;
  int64_t step = 0;
  template <class A>
  void Visit(A& a) {
    a("value", value);
    a("step", step);
  }
};

struct Run {
  RunId id;
  RunSpec spec;
  Phase phase = Phase::kPending;
  std::string reason;  // why it is in this phase
  Time submitted;
  Time started;  // first placed
  Time finished;
  bool speaks_protocol = false;  // some member has said hello
  uint64_t incarnation = 0;
  Rung rung = Rung::kStart;
  std::vector<MemberId> gang;  // by rank, of the newest incarnation
  std::string master_address;
  int master_port = 0;
  Time decided_at;  // of the newest incarnation
  MemberId next_member = 1;
  std::map<MemberId, Member> members;  // alive, and exited ones of the newest incarnation

  int64_t committed_step = 0;        // every rank of the gang has applied it
  int64_t best_step = 0;             // highest ever committed
  int64_t lagging = 0;               // ranks of the gang that have not applied committed_step + 1
  int64_t committed_steps_lost = 0;  // committed steps that had to be done again, over all faults
  double loss = 0;
  bool has_loss = false;
  int64_t tokens = 0;       // in committed steps
  double step_seconds = 0;  // smoothed
  Time committed_at;
  int64_t checkpoint_step = -1;
  int64_t checkpoints = 0;
  double checkpoint_seconds = 0;  // of the newest
  double checkpoint_stall_seconds = 0;
  std::map<std::string, Metric> metrics;  // newest of each name
  std::vector<std::string> said;          // last lines of the run's story, at most 50

  bool cancel_requested = false;
  int failures_without_progress = 0;
  int64_t faults = 0;
  bool waits = false;  // for a member, for room, or for `wait_until`; `reason` says which
  Time wait_until;
  Time broken_at;            // first report of a broken collective of the newest incarnation
  int reserve_failures = 0;  // members beside the gang that died one after the other, none ready
  Time reserve_failed_at;
  std::vector<Recovery> recoveries;  // the newest 1,000

  Accounts accounts;
  Time accrued_until;
  int64_t pending_work = 0;   // slot-microseconds of the gang since its last commit
  int64_t gang_slots = 0;     // held by living members of the gang
  int64_t reserve_slots = 0;  // held by the other living members

  bool live() const { return !IsFinal(phase); }
  const Member* Find(MemberId id) const {
    const auto it = members.find(id);
    return it == members.end() ? nullptr : &it->second;
  }

  template <class A>
  void Visit(A& a) {
    a("id", id);
    a("spec", spec);
    a("phase", phase);
    a("reason", reason);
    a("submitted", submitted);
    a("started", started);
    a("finished", finished);
    a("speaks_protocol", speaks_protocol);
    a("incarnation", incarnation);
    a("rung", rung);
    a("gang", gang);
    a("master_address", master_address);
    a("master_port", master_port);
    a("decided_at", decided_at);
    a("next_member", next_member);
    a("members", members);
    a("committed_step", committed_step);
    a("best_step", best_step);
    a("lagging", lagging);
    a("committed_steps_lost", committed_steps_lost);
    a("loss", loss);
    a("has_loss", has_loss);
    a("tokens", tokens);
    a("step_seconds", step_seconds);
    a("committed_at", committed_at);
    a("checkpoint_step", checkpoint_step);
    a("checkpoints", checkpoints);
    a("checkpoint_seconds", checkpoint_seconds);
    a("checkpoint_stall_seconds", checkpoint_stall_seconds);
    a("metrics", metrics);
    a("said", said);
    a("cancel_requested", cancel_requested);
    a("failures_without_progress", failures_without_progress);
    a("faults", faults);
    a("wait_until", wait_until);
    a("recoveries", recoveries);
    a("accounts", accounts);
    a("accrued_until", accrued_until);
    a("pending_work", pending_work);
    a("gang_slots", gang_slots);
    a("reserve_slots", reserve_slots);
    a("waits", waits);
    a("broken_at", broken_at);
    a("reserve_failures", reserve_failures);
    a("reserve_failed_at", reserve_failed_at);
  }
};

struct State {
  Time now;  // of the newest event
  std::map<NodeId, Node> nodes;
  std::map<RunId, Run> runs;
  uint64_t events = 0;  // folded so far, those that changed nothing left out
  // Nobody listened before: a silence that began earlier proves nothing.
  Time controller_started;

  // Folds one event in. Returns false where it changed nothing at all: a repeated or late message,
  // one of an older session. Such events need no place in the journal; all others do. A decision
  // that contradicts the state (a slot given twice, a gang with a dead member) breaks an invariant
  // and aborts.
  bool Apply(const Event& event);

  const Run* FindRun(const RunId& id) const {
    const auto it = runs.find(id);
    return it == runs.end() ? nullptr : &it->second;
  }
  const Node* FindNode(const NodeId& id) const {
    const auto it = nodes.find(id);
    return it == nodes.end() ? nullptr : &it->second;
  }

  template <class A>
  void Visit(A& a) {
    a("now", now);
    a("nodes", nodes);
    a("runs", runs);
    a("events", events);
    a("controller_started", controller_started);
  }
};

// Members of the gang that are neither sound nor cleanly ended, by rank; empty: the gang is intact.
std::vector<MemberId> LostRanks(const Run& run);
// Every rank of the gang has joined the newest incarnation (has started, where the program does not
// speak the protocol).
bool AllJoined(const Run& run);
// Sound members beside the gang, oldest first.
std::vector<MemberId> Reserve(const Run& run);
// How many accelerators a member counts for in the accounts.
int64_t SlotsOf(const Member& member);
// The accounts of a run up to `now`, work not yet committed counted as productive.
Accounts AccountsAt(const Run& run, Time now);

}  // namespace longrun::fleet
