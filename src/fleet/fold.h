// How one event changes the state; the inside of State::Apply. A value made for one event.
#pragma once

#include "fleet/state.h"

namespace longrun::fleet {

class Fold {
 public:
  Fold(State* state, Time now, Source source)
      : state_(*state), now_(now), source_(std::move(source)) {}

  // Each returns false where the event changes nothing.
  bool On(const NodeJoined& e);
  bool On(const NodeLost& e);
  bool On(const MemberStarted& e);
  bool On(const MemberReady& e);
  bool On(const MemberJoined& e);
  bool On(const MemberCommitted& e);
  bool On(const MemberBroken& e);
  bool On(const MemberWaiting& e);
  bool On(const MemberSilent& e);
  bool On(const MemberExited& e);
  bool On(const CheckpointPublished& e);
  bool On(const MetricReported& e);
  bool On(const MemberSaid& e);
  bool On(const RunSubmitted& e);
  bool On(const CancelRequested& e);
  bool On(const FaultInjected& e);
  bool On(const ControllerStarted& e);
  bool On(const IncarnationDecided& e);
  bool On(const ReservePlaced& e);
  bool On(const MembersStopped& e);
  bool On(const RunWaits& e);
  bool On(const RunFinished& e);

 private:
  // The run and the living member a fact speaks of, where the fact comes from the member's node.
  struct Place {
    Run* run = nullptr;
    Member* member = nullptr;
  };
  Place Find(const RunId& run, MemberId member);
  Run& RunToDecide(const RunId& run);
  void LoseProcesses(Node& node, const std::string& reason);
  // `how`: in the words of the fault; empty: by code and signal.
  void EndMember(Run& run, Member& member, int code, int signal, const std::string& what,
                 const std::string& how = "");
  void TakeSlots(Run& run, const Placement& placement);
  void SetRank(Run& run, Member& member, int rank);
  void Fault(Run& run, const Member& member, const std::string& how);
  void Fault(Run& run, const std::string& cause);
  void Interrupt(Run& run);
  void MaybeAllJoined(Run& run);
  bool StopsWhole(const Run& run);
  void CountLagging(Run& run);
  void Commit(Run& run, const MemberCommitted& e);

  State& state_;
  Time now_;
  Source source_;
};

// Brings the accounts of a run up to `now`.
void Accrue(Run& run, Time now);

}  // namespace longrun::fleet
