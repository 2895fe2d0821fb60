// The agent of a simulated node: does what engine.h and docs/rank-protocol.md ask of a real one. It
// numbers its facts, keeps them until they are acknowledged, tells them again after each reconnect,
// and works toward the newest wish it has seen.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <utility>

#include "engine/simulated/world_config.h"
#include "fleet/desired.h"
#include "fleet/event.h"

namespace longrun::engine {

class World;
struct Process;

class Agent {
 public:
  Agent(World* world, int node) : world_(*world), node_(node) {}

  bool up() const { return up_; }
  uint64_t session() const { return session_; }
  uint64_t connection() const { return connected_ ? connection_ : 0; }
  bool connected() const { return connected_; }

  // Begins a new session: ends what is left of older ones, joins, looks for a controller.
  void Boot(Duration delay);
  // The agent's process is gone, and with it what it had not told.
  void Die();
  // A fact of this session.
  void Tell(fleet::EventBody body);
  void OnReady(Process& process);

  // From the controller's end.
  void OnAccepted(uint64_t connection);
  void OnRefused(uint64_t connection);
  void OnAcknowledged(uint64_t session, uint64_t seq);
  void OnWish(const fleet::NodeDesired& wish);
  // The stream to the controller is broken.
  void Disconnect();

 private:
  void Connect();
  void TryAgain();
  void Send(const fleet::Event& event);
  void EndLeftovers();
  void Reconcile();
  void StartMember(const fleet::DesiredMember& wish);
  void StopMember(const fleet::DesiredMember& wish, Process* process);
  void PassOn(const fleet::DesiredMembership& membership, Process& process);

  World& world_;
  const int node_;
  bool up_ = false;
  uint64_t session_ = 0;
  uint64_t boots_ = 0;  // guards what was scheduled for an earlier life
  uint64_t next_seq_ = 1;
  std::deque<fleet::Event> unacknowledged_;
  bool connected_ = false;
  uint64_t connection_ = 0;  // number of the newest attempt
  Time last_sent_;           // the stream keeps its order
  fleet::NodeDesired wish_;
  // Members of this session: the pid, or 0 for one that never came to run.
  std::map<std::pair<fleet::RunId, fleet::MemberId>, int64_t> members_;
};

}  // namespace longrun::engine
