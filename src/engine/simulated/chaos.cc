#include "engine/simulated/chaos.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace longrun::engine {

ChaosConfig ChaosConfig::Draw(Random& random, Duration mean) {
  ChaosConfig config;
  const auto draw = [&](double often) -> Duration {
    if (!random.Chance(0.5)) return {};
    const double factor = 0.5 + 2 * random.Uniform();
    return {static_cast<int64_t>(static_cast<double>(mean.us) * factor / often)};
  };
  config.rank_death = draw(1);
  config.two_deaths = draw(0.5);
  config.gang_death = draw(0.2);
  config.hang = draw(0.4);
  config.pause = draw(0.4);
  config.wedge = draw(0.15);
  config.group_break = draw(0.5);
  config.node_death = draw(0.4);
  config.rack_death = draw(0.1);
  config.agent_death = draw(0.3);
  config.control_cut = draw(0.3);
  config.full_cut = draw(0.2);
  config.stream_break = draw(1);
  return config;
}

Chaos::Chaos(World* world, ChaosConfig config, uint64_t seed)
    : world_(*world), config_(config), random_(seed) {
  Schedule(config_.rank_death, &Chaos::RankDeath);
  Schedule(config_.two_deaths, &Chaos::TwoDeaths);
  Schedule(config_.gang_death, &Chaos::GangDeath);
  Schedule(config_.hang, &Chaos::Hang);
  Schedule(config_.pause, &Chaos::Pause);
  Schedule(config_.wedge, &Chaos::Wedge);
  Schedule(config_.group_break, &Chaos::GroupBreak);
  Schedule(config_.node_death, &Chaos::NodeDeath);
  Schedule(config_.rack_death, &Chaos::RackDeath);
  Schedule(config_.agent_death, &Chaos::AgentDeath);
  Schedule(config_.control_cut, &Chaos::ControlCut);
  Schedule(config_.full_cut, &Chaos::FullCut);
  Schedule(config_.stream_break, &Chaos::StreamBreak);
}

void Chaos::Schedule(Duration mean, Strike strike) {
  if (mean.us == 0) return;
  const double us = random_.Exponential(static_cast<double>(mean.us));
  world_.timeline().After({static_cast<int64_t>(us)}, [this, mean, strike] {
    if (stopped_) return;
    (this->*strike)();
    Schedule(mean, strike);
  });
}

void Chaos::Stop() {
  stopped_ = true;
  NetworkConfig& network = world_.mutable_config().network;
  network.wish_lost = network.wish_twice = network.wish_late = network.fact_twice =
      network.acknowledgement_lost = network.stream_breaks = 0;
  world_.mutable_config().gang.unnoticed = 0;
  for (const auto& process : world_.processes()) {
    // One whose silence was told is to be killed; the others only paused.
    if (process->alive() && process->hung && !process->silence_told) world_.Resume(*process);
  }
}

Process* Chaos::AnyProcess() {
  const auto& living = world_.living();
  if (living.empty()) return nullptr;
  ++faults_;
  return living[random_.Below(living.size())];
}

int Chaos::AnyNode() {
  ++faults_;
  return static_cast<int>(random_.Below(static_cast<uint64_t>(world_.node_count())));
}

void Chaos::RankDeath() {
  Process* process = AnyProcess();
  if (process == nullptr) return;
  const int signals[] = {9, 11, 6};
  if (random_.Chance(0.7)) {
    world_.End(*process, 0, signals[random_.Below(3)]);
  } else {
    world_.End(*process, 1, 0);
  }
}

void Chaos::TwoDeaths() {
  RankDeath();
  const Duration apart = random_.Chance(0.3) ? Duration() : Duration{random_.Between(0, 400'000)};
  world_.timeline().After(apart, [this] {
    if (!stopped_) RankDeath();
  });
}

void Chaos::GangDeath() {
  const Process* process = AnyProcess();
  if (process == nullptr) return;
  for (Process* one : world_.Living(process->run)) world_.End(*one, 0, 9);
}

void Chaos::Hang() {
  Process* process = AnyProcess();
  // Nobody pings a process that does not speak the protocol, nor notices that it hangs.
  if (process == nullptr || !process->program->speaks_protocol || process->hung) return;
  if (world_.tracing()) world_.Say(absl::StrCat("chaos: ", process->Name(), " hangs"));
  world_.Hang(*process);
}

void Chaos::Pause() {
  Process* process = AnyProcess();
  if (process == nullptr || process->hung) return;
  if (world_.tracing()) world_.Say(absl::StrCat("chaos: ", process->Name(), " pauses"));
  world_.Hang(*process);
  world_.timeline().After({random_.Between(10'000, 5'000'000)},
                          [this, pid = process->pid] { world_.Resume(*world_.Find(pid)); });
}

void Chaos::Wedge() {
  Process* process = AnyProcess();
  // Only a program whose steps are counted can be seen to stand still.
  if (process == nullptr || process->group == 0 || !process->ready) return;
  if (world_.tracing()) world_.Say(absl::StrCat("chaos: ", process->Name(), " is wedged"));
  process->wedged = true;
}

void Chaos::GroupBreak() {
  Process* process = AnyProcess();
  if (process == nullptr || process->group == 0) return;
  if (world_.tracing())
    world_.Say(absl::StrCat("chaos: the network of ", process->run.text, " fails"));
  world_.groups().Break(process->run, process->group);
}

void Chaos::NodeDeath() {
  const int node = AnyNode();
  if (world_.tracing()) world_.Say(absl::StrCat("chaos: node ", node, " dies"));
  world_.KillNode(node, {random_.Between(config_.repair_min.us, config_.repair_max.us)});
}

void Chaos::RackDeath() {
  const auto& nodes = world_.config().nodes;
  const auto rack = nodes[AnyNode()].labels;
  if (world_.tracing()) world_.Say("chaos: a rack dies");
  const Duration repair{random_.Between(config_.repair_min.us, config_.repair_max.us)};
  for (int node = 0; node < world_.node_count(); ++node) {
    if (nodes[node].labels == rack) world_.KillNode(node, repair);
  }
}

void Chaos::AgentDeath() {
  const int node = AnyNode();
  if (!world_.agent(node).up()) return;
  if (world_.tracing()) world_.Say(absl::StrCat("chaos: the agent of node ", node, " dies"));
  world_.KillAgent(node, {random_.Between(50'000, 6'000'000)});
}

void Chaos::ControlCut() {
  const int node = AnyNode();
  if (world_.tracing())
    world_.Say(absl::StrCat("chaos: node ", node, " is cut from the controller"));
  world_.Cut(node, false, {random_.Between(100'000, 8'000'000)});
}

void Chaos::FullCut() {
  const int node = AnyNode();
  if (world_.tracing()) world_.Say(absl::StrCat("chaos: node ", node, " is cut from all"));
  world_.Cut(node, true, {random_.Between(100'000, 8'000'000)});
}

void Chaos::StreamBreak() { world_.agent(AnyNode()).Disconnect(); }

}  // namespace longrun::engine
