#include "engine/simulated/agent.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/simulated/simulated_engine.h"
#include "engine/simulated/world.h"

namespace longrun::engine {

using Do = fleet::DesiredMember::Do;

void Agent::Boot(Duration delay) {
  const uint64_t boot = ++boots_;
  world_.timeline().After(delay, [this, boot] {
    if (boots_ != boot || up_) return;
    EndLeftovers();
    up_ = true;
    session_ = world_.NextSession();
    next_seq_ = 1;
    unacknowledged_.clear();
    members_.clear();
    wish_ = {};
    const NodeConfig& config = world_.config().nodes[node_];
    fleet::NodeJoined joined;
    joined.node = config.id;
    joined.session = session_;
    joined.site = fleet::SiteId("local");
    joined.address = absl::StrCat("10.0.0.", node_);
    joined.labels = config.labels;
    joined.accelerators = config.accelerators;
    joined.type = "any";
    joined.cpu_milli = 1000 * config.accelerators;
    joined.memory_bytes = int64_t{8} << 30;
    Tell(joined);
    Connect();
  });
}

void Agent::Die() {
  up_ = false;
  ++boots_;
  ++connection_;
  Disconnect();
}

void Agent::EndLeftovers() {
  for (Process* process : world_.Living(node_)) world_.End(*process, 0, 9, false);
}

// ---- the stream to the controller ----

void Agent::Connect() {
  const uint64_t attempt = ++connection_;
  world_.timeline().After(world_.Latency(), [this, attempt] {
    if (!up_ || connection_ != attempt) return;
    if (world_.engine() == nullptr || world_.CutFromControl(node_)) {
      TryAgain();
      return;
    }
    const uint64_t first = unacknowledged_.empty() ? next_seq_ : unacknowledged_.front().source.seq;
    if (world_.engine()->OnAttach(node_, session_, first)) {
      OnAccepted(attempt);
    } else {
      world_.timeline().After(world_.Latency(), [this, attempt] { OnRefused(attempt); });
    }
  });
}

void Agent::TryAgain() {
  const uint64_t attempt = ++connection_;
  const Duration wait = world_.config().network.reconnect_after;
  world_.timeline().After(world_.Between({wait.us / 2}, wait), [this, attempt] {
    if (up_ && connection_ == attempt) Connect();
  });
}

void Agent::Disconnect() {
  connected_ = false;
  if (world_.engine() != nullptr) world_.engine()->OnDisconnect(node_);
  if (up_) TryAgain();
}

void Agent::OnAccepted(uint64_t connection) {
  if (!up_ || connection_ != connection) return;
  connected_ = true;
  last_sent_ = world_.now();
  for (const fleet::Event& event : unacknowledged_) Send(event);
}

void Agent::OnRefused(uint64_t connection) {
  if (!up_ || connection_ != connection) return;
  if (world_.tracing())
    world_.Say(absl::StrCat("node ", node_, ": session ", session_, " is over"));
  up_ = false;
  EndLeftovers();
  Boot(world_.Between(Duration::Millis(10), Duration::Millis(100)));
}

void Agent::Tell(fleet::EventBody body) {
  fleet::Event event;
  event.source = {world_.config().nodes[node_].id, session_, next_seq_++};
  event.body = std::move(body);
  unacknowledged_.push_back(event);
  if (connected_) Send(event);
}

void Agent::Send(const fleet::Event& event) {
  if (world_.random().Chance(world_.config().network.stream_breaks)) {
    Disconnect();
    return;
  }
  last_sent_ = std::max(last_sent_, world_.now() + world_.Latency());
  world_.timeline().After(last_sent_ - world_.now(), [this, event, connection = connection_] {
    if (connected_ && connection_ == connection && world_.engine() != nullptr) {
      world_.engine()->OnFact(node_, event);
    }
  });
}

void Agent::OnAcknowledged(uint64_t session, uint64_t seq) {
  if (session != session_) return;
  while (!unacknowledged_.empty() && unacknowledged_.front().source.seq <= seq) {
    unacknowledged_.pop_front();
  }
}

// ---- wishes ----

void Agent::OnWish(const fleet::NodeDesired& wish) {
  if (!up_ || wish.session != session_ || wish.revision < wish_.revision) return;
  wish_ = wish;
  Reconcile();
}

void Agent::Reconcile() {
  std::map<std::pair<fleet::RunId, fleet::MemberId>, bool> wished;
  for (const fleet::DesiredMember& wish : wish_.members) {
    const auto key = std::make_pair(wish.run, wish.member);
    wished[key] = true;
    const auto it = members_.find(key);
    switch (wish.action) {
      case Do::kHold:
        break;
      case Do::kRun:
        if (it == members_.end()) StartMember(wish);
        break;
      case Do::kStop:
      case Do::kKill:
        if (it == members_.end()) {
          members_[key] = 0;
          Tell(fleet::MemberExited{wish.run, wish.member, 0, 9, "ended before it was started"});
        } else if (it->second != 0) {
          StopMember(wish, world_.Find(it->second));
        }
        break;
    }
  }
  for (const auto& [key, pid] : members_) {
    if (pid == 0 || wished.contains(key)) continue;
    Process* process = world_.Find(pid);
    if (process->alive()) world_.End(*process, 0, 9);
  }
  for (const fleet::DesiredMembership& membership : wish_.memberships) {
    for (Process* process : world_.Living(node_)) {
      if (process->run == membership.run && process->session == session_) {
        PassOn(membership, *process);
      }
    }
  }
}

void Agent::StartMember(const fleet::DesiredMember& wish) {
  int64_t& pid = members_[{wish.run, wish.member}];
  pid = 0;
  const fleet::RunSpec& spec = wish_.specs.at(wish.run);
  const auto& programs = world_.config().programs;
  const auto program = programs.find(spec.command.empty() ? "" : spec.command[0]);
  if (program == programs.end()) {
    Tell(fleet::MemberExited{wish.run, wish.member, 127, 0, "no such program"});
    return;
  }
  Process process;
  process.run = wish.run;
  process.member = wish.member;
  process.node = node_;
  process.session = session_;
  process.slots = wish.accelerators;
  process.program = &program->second;
  process.silent_after = spec.silent_after;
  process.grace = spec.grace;
  process.env_incarnation = wish.incarnation;
  process.env_rank = wish.rank;
  process.env_world = wish.world;
  const Process& started = world_.Start(std::move(process));
  pid = started.pid;
  Tell(fleet::MemberStarted{wish.run, wish.member, pid});
}

void Agent::StopMember(const fleet::DesiredMember& wish, Process* process) {
  if (!process->alive()) return;
  if (wish.action == Do::kKill) {
    world_.End(*process, 0, 9);
    return;
  }
  if (process->stopping) return;
  process->stopping = true;
  World* world = &world_;
  const int64_t pid = process->pid;
  if (!process->program->ignores_stop) {
    world_.timeline().After(
        world_.Between(Duration::Millis(5), Duration::Millis(60)), [world, pid] {
          Process& p = *world->Find(pid);
          if (!p.moves()) return;
          const bool default_action = !p.program->speaks_protocol && world->random().Chance(0.5);
          world->End(p, 0, default_action ? 15 : 0);
        });
  }
  world_.timeline().After(process->grace, [world, pid] {
    Process& p = *world->Find(pid);
    if (p.alive()) world->End(p, 0, 9);
  });
}

void Agent::OnReady(Process& process) {
  Tell(fleet::MemberReady{process.run, process.member, process.endpoint(), process.applied});
  for (const fleet::DesiredMembership& membership : wish_.memberships) {
    if (membership.run == process.run) PassOn(membership, process);
  }
}

void Agent::PassOn(const fleet::DesiredMembership& membership, Process& process) {
  if (!process.ready || membership.incarnation <= process.heard) return;
  world_.timeline().After(world_.Between(Duration::Micros(50), Duration::Millis(2)),
                          [world = &world_, pid = process.pid, membership] {
                            Process& p = *world->Find(pid);
                            if (p.alive()) world->groups().Hear(p, membership);
                          });
}

}  // namespace longrun::engine
