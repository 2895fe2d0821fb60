#include "engine/simulated/groups.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/simulated/world.h"

namespace longrun::engine {

using Stage = Process::Stage;
using Round = Group::Round;

// ---- gathering ----

void Groups::Hear(Process& process, const fleet::DesiredMembership& membership) {
  if (process.hung) {
    process.unheard = membership;
    return;
  }
  if (process.wedged || process.stage == Stage::kFinishing) return;
  if (membership.incarnation <= process.heard) return;
  process.heard = membership.incarnation;
  Leave(process);
  process.stage = Stage::kIdle;
  const auto at = std::find(membership.members.begin(), membership.members.end(), process.member);
  const bool in_gang = at != membership.members.end();
  if (process.program->joins_alone) {
    if (in_gang) {
      world_.Tell(process, fleet::MemberJoined{process.run, process.member, membership.incarnation,
                                               0, "start", 0});
    } else {
      world_.Tell(process, fleet::MemberSaid{process.run, process.member, "spare"});
    }
    return;
  }
  if (!in_gang) return;
  const Key key{process.run, membership.incarnation};
  Group& group = groups_[key];
  if (group.incarnation == 0) {
    group.incarnation = membership.incarnation;
    group.pids.assign(membership.members.size(), 0);
    group.full = membership.full;
    // A member that is gone already will never come: the others meet a refused connection.
    for (const fleet::MemberId member : membership.members) {
      if (world_.Find(process.run, member) == nullptr) group.broken = true;
    }
  }
  Arrive(process, group, key, static_cast<int>(at - membership.members.begin()));
}

void Groups::Rendezvous(Process& process) {
  const Key key{process.run, process.env_incarnation};
  Group& group = groups_[key];
  if (group.incarnation == 0) {
    group.incarnation = process.env_incarnation;
    group.pids.assign(static_cast<size_t>(std::max(1, process.env_world)), 0);
    group.full = process.env_world;
  }
  const bool in_gang =
      process.env_rank >= 0 && process.env_rank < static_cast<int>(group.pids.size());
  if (!in_gang || group.pids[process.env_rank] != 0) return;  // waits for nobody, for ever
  Arrive(process, group, key, process.env_rank);
}

void Groups::Arrive(Process& process, Group& group, const Key& key, int rank) {
  process.stage = Stage::kInGroup;
  process.group = group.incarnation;
  group.pids[rank] = process.pid;
  if (group.broken) {
    NoticeLater(process, group.incarnation);
    return;
  }
  if (!group.gathered()) return;
  group.round = Round::kJoin;
  const GangConfig& config = world_.config().gang;
  Schedule(key, world_.Between(config.rebuild_min, config.rebuild_max));
}

// ---- rounds ----

void Groups::Schedule(const Key& key, Duration delay) {
  world_.timeline().After(delay, [this, key] { Complete(key); });
}

// The collective of the round is over, if all ranks move.
void Groups::Complete(const Key& key) {
  Group& group = groups_.at(key);
  if (group.broken) return;
  for (const int64_t pid : group.pids) {
    if (!world_.Find(pid)->moves()) {
      group.stalled = true;
      TellWaitsLater(key);
      return;
    }
  }
  if (!Reachable(group)) {
    BreakUp(key, group, 0);
    return;
  }
  if (group.round == Round::kJoin) Form(key, group);
  // Nobody says that its work is done before the last state is safe.
  if (group.round == Round::kSave) {
    const Process& first = *world_.Find(group.pids[0]);
    Publish(first.pid, group.step, first.program->checkpoint);
  }
  group.parts = 0;
  const Duration skew = world_.config().gang.skew;
  for (size_t rank = 0; rank < group.pids.size(); ++rank) {
    world_.timeline().After(world_.Between({}, skew),
                            [this, key, rank] { Part(key, static_cast<int>(rank)); });
  }
}

// Agrees on the state to go on from: the newest that a rank has, else the newest whole checkpoint.
void Groups::Form(const Key& key, Group& group) {
  group.formed = true;
  group.step = 0;
  for (const int64_t pid : group.pids) {
    const Process& process = *world_.Find(pid);
    if (!process.has_state) continue;
    group.from_peer = true;
    group.step = std::max(group.step, process.applied);
  }
  if (!group.from_peer) {
    group.from_disk = DiskStep(key.first) >= 0;
    group.step = std::max<int64_t>(0, DiskStep(key.first));
  }
  world_.OnFormed(key.first, group, group.step);
}

// What one rank does when the collective is over for it. One that stopped moving or left in the
// meantime does not; one whose peer died in the meantime may, for its own part of the collective
// had been done.
void Groups::Part(const Key& key, int rank) {
  Group& group = groups_.at(key);
  Process& process = *world_.Find(group.pids[rank]);
  if (!process.alive() || process.group != group.incarnation) return;
  if (!process.moves()) {
    // It will do its part when it moves again, unless the group is broken by then.
    process.part_due = true;
    TellWaitsLater(key);
    return;
  }
  const bool speaks = process.program->speaks_protocol;
  switch (group.round) {
    case Round::kGather:
      return;
    case Round::kJoin: {
      const bool own = process.has_state && process.applied == group.step;
      const char* source = own               ? "own"
                           : group.from_peer ? "peer"
                           : rank > 0        ? "peer"
                           : group.from_disk ? "checkpoint"
                                             : "start";
      process.applied = group.step;
      process.has_state = speaks;
      if (speaks) {
        world_.Tell(process, fleet::MemberJoined{process.run, process.member, group.incarnation,
                                                 group.step, source, 0.05});
      }
      break;
    }
    case Round::kStep: {
      process.applied = group.step;
      world_.OnApplied(process, group.step);
      const double loss = 5.0 / static_cast<double>(group.step);
      if (speaks) {
        world_.Tell(process, fleet::MemberCommitted{process.run, process.member, group.incarnation,
                                                    group.step, loss, 1024,
                                                    process.program->step.seconds()});
      }
      const int64_t every = process.program->checkpoint_every_steps;
      if (rank == 0 && every > 0 && group.step % every == 0) {
        const Duration took = process.program->checkpoint;
        world_.timeline().After(
            took, [this, pid = process.pid, step = group.step, took] { Publish(pid, step, took); });
      }
      break;
    }
    case Round::kSave:
      Finish(process);
      break;
  }
  if (++group.parts == group.pids.size() && !group.broken) Next(key, group);
}

void Groups::Next(const Key& key, Group& group) {
  const Program& program = *world_.Find(group.pids[0])->program;
  if (group.round == Round::kSave) return;
  if (group.step >= program.steps) {
    group.round = Round::kSave;
    Schedule(key, program.checkpoint);
    return;
  }
  group.round = Round::kStep;
  ++group.step;
  Schedule(key, program.step + world_.Between({}, {program.step.us / 10}));
}

// Who moves, while one who does not holds the round up, says after a while that it waits.
void Groups::TellWaitsLater(const Key& key) {
  const Group& now = groups_.at(key);
  world_.timeline().After(
      world_.config().gang.long_wait, [this, key, round = now.round, step = now.step] {
        const Group& group = groups_.at(key);
        if (group.broken || group.round != round || group.step != step) return;
        for (const int64_t pid : group.pids) {
          const Process& process = *world_.Find(pid);
          if (!process.moves() || process.part_due || process.group != group.incarnation) continue;
          if (!process.program->speaks_protocol || !process.program->says_waiting) continue;
          world_.Tell(process, fleet::MemberWaiting{process.run, process.member, group.incarnation,
                                                    process.applied});
        }
      });
}

void Groups::Publish(int64_t pid, int64_t step, Duration took) {
  const Process& process = *world_.Find(pid);
  if (!process.moves()) return;  // what was written so far is no whole checkpoint
  const auto it = disk_.try_emplace(process.run, -1).first;
  it->second = std::max(it->second, step);
  if (process.program->speaks_protocol) {
    world_.Tell(process, fleet::CheckpointPublished{process.run, process.member, step,
                                                    took.seconds(), took.seconds() / 50});
  }
}

void Groups::Finish(Process& process) {
  process.stage = Stage::kFinishing;
  world_.timeline().After(world_.Between({}, Duration::Millis(150)),
                          [world = &world_, pid = process.pid] {
                            Process& p = *world->Find(pid);
                            if (p.moves()) world->End(p, 0, 0);
                          });
}

int64_t Groups::DiskStep(const fleet::RunId& run) const {
  const auto it = disk_.find(run);
  return it == disk_.end() ? -1 : it->second;
}

// ---- breaking ----

void Groups::Leave(Process& process) {
  if (process.group == 0) return;
  const Key key{process.run, process.group};
  process.group = 0;
  process.part_due = false;
  if (process.stage == Stage::kGone && groups_.at(key).round == Round::kSave &&
      groups_.at(key).parts > 0) {
    return;  // all that they do together is done
  }
  BreakUp(key, groups_.at(key), process.pid);
}

void Groups::BreakUp(const Key& key, Group& group, int64_t except_pid) {
  group.broken = true;
  for (const int64_t pid : group.pids) {
    if (pid == 0 || pid == except_pid) continue;
    Process& process = *world_.Find(pid);
    if (!process.alive() || process.group != group.incarnation) continue;
    // A plain program that waits in a broken network for ever is nothing that anybody could see.
    const bool seen_by_none = except_pid == 0 && !process.program->speaks_protocol;
    if (!seen_by_none && world_.random().Chance(world_.config().gang.unnoticed)) continue;
    NoticeLater(process, group.incarnation);
  }
}

void Groups::NoticeLater(Process& process, uint64_t incarnation) {
  // Most see it soon: the square leans to small delays.
  const double u = world_.random().Uniform();
  const double us = static_cast<double>(world_.config().gang.detect_max.us) * u * u;
  world_.timeline().After({static_cast<int64_t>(us)},
                          [this, pid = process.pid, incarnation] { Notice(pid, incarnation); });
}

void Groups::Notice(int64_t pid, uint64_t incarnation) {
  Process& process = *world_.Find(pid);
  if (!process.alive() || process.group != incarnation || process.stage != Stage::kInGroup) return;
  if (process.wedged) return;
  if (process.hung) {
    process.notice_due = true;
    return;
  }
  process.group = 0;
  process.part_due = false;
  process.stage = Stage::kIdle;
  if (process.program->speaks_protocol) {
    world_.Tell(process, fleet::MemberBroken{process.run, process.member, incarnation,
                                             "connection closed by peer"});
  } else {
    world_.End(process, 1, 0);
  }
}

void Groups::Wake(Process& process) {
  if (process.unheard.incarnation > process.heard) {
    Hear(process, process.unheard);
    return;
  }
  if (process.stage == Stage::kFinishing) {
    Finish(process);
    return;
  }
  if (process.group == 0) return;
  const Key key{process.run, process.group};
  if (process.notice_due) {
    process.notice_due = false;
    Notice(process.pid, process.group);
    return;
  }
  Group& group = groups_.at(key);
  if (process.part_due) {
    process.part_due = false;
    const auto rank = std::find(group.pids.begin(), group.pids.end(), process.pid);
    Part(key, static_cast<int>(rank - group.pids.begin()));
  } else if (group.stalled) {
    group.stalled = false;
    Schedule(key, Duration::Millis(1));
  }
}

bool Groups::Break(const fleet::RunId& run, uint64_t incarnation) {
  const Key key{run, incarnation};
  const auto it = groups_.find(key);
  if (it == groups_.end() || it->second.broken || it->second.round == Round::kGather) return false;
  if (it->second.round == Round::kSave || it->second.pids.size() < 2) return false;
  BreakUp(key, it->second, 0);
  return true;
}

bool Groups::Reachable(const Group& group) const {
  const int first = world_.Find(group.pids[0])->node;
  for (const int64_t pid : group.pids) {
    const int node = world_.Find(pid)->node;
    if (node != first && (world_.CutFromPeers(node) || world_.CutFromPeers(first))) return false;
  }
  return true;
}

void Groups::BreakAcross(int node) {
  for (auto& [key, group] : groups_) {
    if (group.broken || !group.gathered()) continue;
    bool on_node = false;
    for (const int64_t pid : group.pids) {
      const Process& process = *world_.Find(pid);
      on_node |= process.alive() && process.group == group.incarnation && process.node == node;
    }
    if (on_node && !Reachable(group)) BreakUp(key, group, 0);
  }
}

}  // namespace longrun::engine
