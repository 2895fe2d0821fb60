// How processes compute together: they gather for an incarnation, form a group, take a common
// state, step, checkpoint, finish; and break when one of them is gone. The truth behind
// MemberJoined, MemberCommitted and MemberBroken.
//
// A group moves in rounds. A round is a collective: it completes when its time is over and all
// ranks move; then each rank does its own part a little earlier or later than the others, so that a
// death can fall between them.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/time.h"
#include "engine/simulated/process.h"
#include "fleet/desired.h"

namespace longrun::engine {

class World;

struct Group {
  enum class Round { kGather, kJoin, kStep, kSave };

  uint64_t incarnation = 0;
  std::vector<int64_t> pids;  // by rank; 0: not there yet
  int full = 0;               // ranks asked for
  bool broken = false;
  bool formed = false;
  bool stalled = false;  // a rank does not move
  Round round = Round::kGather;
  int64_t step = 0;  // the round's; of kJoin: where the group goes on from
  bool from_peer = false;
  bool from_disk = false;
  size_t parts = 0;  // ranks that have done their part of the round

  bool gathered() const {
    for (const int64_t pid : pids) {
      if (pid == 0) return false;
    }
    return true;
  }
};

class Groups {
 public:
  explicit Groups(World* world) : world_(*world) {}

  // A process that speaks the protocol hears of a membership.
  void Hear(Process& process, const fleet::DesiredMembership& membership);
  // A process that does not comes to the rendezvous its environment names.
  void Rendezvous(Process& process);
  // The process leaves its group, if it is in one: it ends, or has heard of a newer membership.
  void Leave(Process& process);
  // A process that stood still moves again.
  void Wake(Process& process);
  // The group's network fails: it breaks though all live. False: there was none.
  bool Break(const fleet::RunId& run, uint64_t incarnation);
  // Groups that span a node that has been cut off.
  void BreakAcross(int node);

  // Newest whole checkpoint on the shared disk; -1: none.
  int64_t DiskStep(const fleet::RunId& run) const;

 private:
  using Key = std::pair<fleet::RunId, uint64_t>;
  void Arrive(Process& process, Group& group, const Key& key, int rank);
  void Schedule(const Key& key, Duration delay);
  void Complete(const Key& key);
  void Form(const Key& key, Group& group);
  void Part(const Key& key, int rank);
  void Next(const Key& key, Group& group);
  void TellWaitsLater(const Key& key);
  void BreakUp(const Key& key, Group& group, int64_t except_pid);
  void Notice(int64_t pid, uint64_t incarnation);
  void NoticeLater(Process& process, uint64_t incarnation);
  void Publish(int64_t pid, int64_t step, Duration took);
  void Finish(Process& process);
  bool Reachable(const Group& group) const;

  World& world_;
  std::map<Key, Group> groups_;
  std::map<fleet::RunId, int64_t> disk_;
};

}  // namespace longrun::engine
