#include "engine/simulated/world.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "engine/simulated/simulated_engine.h"

namespace longrun::engine {

World::World(WorldConfig config)
    : config_(std::move(config)),
      timeline_(config_.start),
      random_(config_.seed),
      groups_(this),
      control_cut_(config_.nodes.size()),
      peers_cut_(config_.nodes.size()) {
  for (size_t i = 0; i < config_.nodes.size(); ++i) {
    agents_.push_back(std::make_unique<Agent>(this, static_cast<int>(i)));
    agents_.back()->Boot(Between({}, config_.node_boot));
  }
}

int World::NodeIndex(const fleet::NodeId& node) const {
  for (size_t i = 0; i < config_.nodes.size(); ++i) {
    if (config_.nodes[i].id == node) return static_cast<int>(i);
  }
  return -1;
}

Duration World::Latency() {
  return Between(config_.network.latency_min, config_.network.latency_max);
}

// ---- processes ----

Process* World::Find(const fleet::RunId& run, fleet::MemberId member) {
  for (const auto& process : living_) {
    if (process->member == member && process->run == run) return process;
  }
  return nullptr;
}

std::vector<Process*> World::Living(int node) const {
  std::vector<Process*> living;
  for (Process* process : living_) {
    if (process->node == node) living.push_back(process);
  }
  return living;
}

std::vector<Process*> World::Living(const fleet::RunId& run) const {
  std::vector<Process*> living;
  for (Process* process : living_) {
    if (process->run == run) living.push_back(process);
  }
  return living;
}

int World::Starts(const fleet::RunId& run, fleet::MemberId member) const {
  int starts = 0;
  for (const auto& process : processes_) {
    if (process->member == member && process->run == run) ++starts;
  }
  return starts;
}

Process& World::Start(Process started) {
  processes_.push_back(std::make_unique<Process>(std::move(started)));
  Process& process = *processes_.back();
  process.pid = static_cast<int64_t>(processes_.size());
  living_.push_back(&process);
  const Program& program = *process.program;
  const int nth = ++started_[process.run];
  process.ends_itself =
      program.ends_itself && (program.ends_first == 0 || nth <= program.ends_first);
  Mix(static_cast<uint64_t>(process.member));
  if (tracing()) {
    Say(absl::StrCat("node ", process.node, " starts ", process.Name(), " as process ",
                     process.pid));
  }
  for (WorldObserver* observer : observers_) observer->OnStart(process);
  timeline_.After(program.start_up, [this, pid = process.pid] { Loaded(*Find(pid)); });
  return process;
}

void World::Loaded(Process& process) {
  if (!process.alive()) return;
  if (process.hung) {
    process.loaded_while_hung = true;
    return;
  }
  if (process.ends_itself) {
    timeline_.After(process.program->ends_after, [this, pid = process.pid] {
      Process& p = *Find(pid);
      if (p.alive())
        End(p, p.program->end_signal != 0 ? 0 : p.program->end_code, p.program->end_signal);
    });
  }
  process.stage = Process::Stage::kIdle;
  if (!process.program->speaks_protocol) {
    groups_.Rendezvous(process);
    return;
  }
  process.ready = true;
  Agent& agent = *agents_[process.node];
  if (agent.up() && agent.session() == process.session) agent.OnReady(process);
}

void World::End(Process& process, int code, int signal, bool tell) {
  LR_CHECK(process.alive());
  // Once it has said that its work is complete, its end is no fault.
  const bool done = process.stage == Process::Stage::kFinishing;
  process.stage = Process::Stage::kGone;
  std::erase(living_, &process);
  Mix(static_cast<uint64_t>(process.pid * 1000 + code * 100 + signal));
  if (tracing()) {
    Say(absl::StrCat(process.Name(), " ends: ",
                     signal != 0 ? absl::StrCat("signal ", signal) : absl::StrCat("code ", code)));
  }
  for (WorldObserver* observer : observers_) observer->OnEnd(process);
  groups_.Leave(process);
  if (!tell) return;
  fleet::MemberExited exited{process.run, process.member, code, signal, ""};
  if (done) exited.code = exited.signal = 0;
  Tell(process, std::move(exited));
}

void World::Tell(const Process& process, fleet::EventBody body) {
  Agent& agent = *agents_[process.node];
  if (agent.up() && agent.session() == process.session) agent.Tell(std::move(body));
}

// ---- faults ----

void World::Hang(Process& process) {
  process.hung = true;
  if (!process.ready) return;
  timeline_.After(process.silent_after, [this, pid = process.pid] {
    Process& p = *Find(pid);
    if (!p.alive() || !p.hung || p.silence_told) return;
    p.silence_told = true;
    Tell(p, fleet::MemberSilent{p.run, p.member, p.silent_after.seconds()});
  });
}

void World::Resume(Process& process) {
  if (!process.alive() || !process.hung) return;
  process.hung = false;
  if (std::exchange(process.loaded_while_hung, false)) Loaded(process);
  groups_.Wake(process);
}

void World::KillNode(int node, Duration repair) {
  agents_[node]->Die();
  for (Process* process : Living(node)) End(*process, 0, 9, false);
  agents_[node]->Boot(repair + config_.node_boot);
}

void World::KillAgent(int node, Duration restart) {
  agents_[node]->Die();
  agents_[node]->Boot(restart);
}

void World::Cut(int node, bool peers, Duration length) {
  ++control_cut_[node];
  peers_cut_[node] += peers ? 1 : 0;
  agents_[node]->Disconnect();
  if (peers) groups_.BreakAcross(node);
  timeline_.After(length, [this, node, peers] {
    --control_cut_[node];
    peers_cut_[node] -= peers ? 1 : 0;
  });
}

void World::OnApplied(const Process& process, int64_t step) {
  Mix(static_cast<uint64_t>(step));
  for (WorldObserver* observer : observers_) observer->OnApplied(process, step);
}

void World::OnFormed(const fleet::RunId& run, const Group& group, int64_t step) {
  if (tracing()) {
    Say(absl::StrCat(run.text, " forms a group of ", group.pids.size(), " for incarnation ",
                     group.incarnation, " at step ", step));
  }
  for (WorldObserver* observer : observers_) observer->OnFormed(run, group, step);
}

}  // namespace longrun::engine
