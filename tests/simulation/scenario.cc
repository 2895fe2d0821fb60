#include "simulation/scenario.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace longrun::simulation {
namespace {

using engine::ChaosConfig;
using engine::Program;

Duration Millis(Random& random, int64_t lo, int64_t hi) {
  return Duration::Millis(random.Between(lo, hi));
}

// A rare path is there at all in a quarter of the seeds.
double Rare(Random& random, double probability) { return random.Chance(0.25) ? probability : 0; }

void DrawFleet(Random& random, bool large, engine::WorldConfig* world) {
  const int64_t nodes = large ? random.Between(12, 40) : random.Between(2, 7);
  const int64_t racks = large ? random.Between(2, 8) : random.Between(1, 3);
  for (int64_t i = 0; i < nodes; ++i) {
    engine::NodeConfig node;
    node.id = fleet::NodeId(absl::StrCat("node-", i));
    node.accelerators = static_cast<int>(random.Between(1, 4));
    node.labels["rack"] = absl::StrCat("rack-", i % racks);
    world->nodes.push_back(std::move(node));
  }
  engine::NetworkConfig& network = world->network;
  network.latency_max = Millis(random, 1, 20);
  network.wish_lost = Rare(random, 0.2);
  network.wish_twice = Rare(random, 0.2);
  network.wish_late = Rare(random, 0.2);
  network.fact_twice = Rare(random, 0.1);
  network.acknowledgement_lost = Rare(random, 0.5);
  network.stream_breaks = Rare(random, 0.02);
  world->gang.unnoticed = Rare(random, 0.3);
  world->gang.skew = Millis(random, 0, 20);
  world->gang.detect_max = Millis(random, 1, 1000);
  world->lost_after = Millis(random, 500, 5000);
}

Program DrawProgram(Random& random) {
  Program program;
  program.speaks_protocol = random.Chance(0.75);
  program.start_up = random.Chance(0.1) ? Millis(random, 2000, 6000) : Millis(random, 30, 900);
  program.steps = random.Chance(0.1) ? random.Between(60, 200) : random.Between(1, 30);
  program.step = Millis(random, 20, 300);
  program.checkpoint_every_steps = random.Chance(0.6) ? random.Between(2, 10) : 0;
  program.checkpoint = Millis(random, 5, 500);
  program.ignores_stop = random.Chance(0.1);
  program.says_waiting = random.Chance(0.75);
  if (random.Chance(0.12)) {
    program.ends_itself = true;
    program.ends_after = Millis(random, 0, 10);
    program.ends_first = random.Chance(0.4) ? static_cast<int>(random.Between(1, 3)) : 0;
    program.end_code = random.Chance(0.3) ? 78 : 1;
    program.end_signal = random.Chance(0.3) ? 11 : 0;
  }
  return program;
}

fleet::RunSpec DrawSpec(Random& random, bool large, int number) {
  fleet::RunSpec spec;
  spec.name = fleet::RunId(absl::StrCat("run-", number));
  spec.ranks = static_cast<int>(random.Between(1, large && random.Chance(0.3) ? 24 : 6));
  spec.spares = random.Chance(0.5) ? static_cast<int>(random.Between(1, 2)) : 0;
  if (spec.ranks > 1 && random.Chance(0.4)) {
    spec.elastic_min = static_cast<int>(random.Between(1, spec.ranks - 1));
  }
  spec.resources.accelerators = random.Chance(0.15) ? 2 : 1;
  if (random.Chance(0.2)) spec.resources.cpu_milli = random.Between(1, 10) * 100;
  if (random.Chance(0.15)) spec.within = random.Chance(0.7) ? "rack" : "node";
  if (random.Chance(0.3)) spec.spares_where = random.Chance(0.5) ? "other-node" : "other-rack";
  spec.priority = static_cast<fleet::Priority>(random.Below(3));
  spec.failures_without_progress = static_cast<int>(random.Between(3, 20));
  spec.silent_after = Millis(random, 300, 3000);
  // Longer than it takes to give a node up: news that only come late are no hang.
  spec.hung_after = random.Chance(0.8) ? Millis(random, 8000, 12000) : Duration();
  spec.grace = Millis(random, 100, 3000);
  return spec;
}

void DrawRuns(Random& random, bool large, Scenario* scenario) {
  const int runs = static_cast<int>(large ? random.Between(5, 12) : random.Between(1, 4));
  for (int i = 1; i <= runs; ++i) {
    Submission submission;
    submission.after = random.Chance(0.5) ? Duration() : Millis(random, 0, 6000);
    submission.spec = DrawSpec(random, large, i);
    // Another run of a name that is over, if it is by then.
    if (i > 1 && random.Chance(0.05)) {
      submission.spec.name = fleet::RunId("run-1");
      submission.after = Millis(random, 4000, 12000);
    }
    const std::string program = absl::StrCat("program-", i);
    submission.spec.command = {random.Chance(0.02) ? "missing" : program};
    scenario->world.programs[program] = DrawProgram(random);
    if (random.Chance(0.1)) submission.cancel_after = Millis(random, 100, 15000);
    scenario->submissions.push_back(std::move(submission));
  }
}

std::vector<std::pair<const char*, Duration ChaosConfig::*>> ChaosParts() {
  return {{"rank-death", &ChaosConfig::rank_death},
          {"two-deaths", &ChaosConfig::two_deaths},
          {"gang-death", &ChaosConfig::gang_death},
          {"hang", &ChaosConfig::hang},
          {"pause", &ChaosConfig::pause},
          {"wedge", &ChaosConfig::wedge},
          {"group-break", &ChaosConfig::group_break},
          {"node-death", &ChaosConfig::node_death},
          {"rack-death", &ChaosConfig::rack_death},
          {"agent-death", &ChaosConfig::agent_death},
          {"control-cut", &ChaosConfig::control_cut},
          {"full-cut", &ChaosConfig::full_cut},
          {"stream-break", &ChaosConfig::stream_break}};
}

std::vector<std::pair<const char*, double engine::NetworkConfig::*>> NetworkParts() {
  return {{"wish-lost", &engine::NetworkConfig::wish_lost},
          {"wish-twice", &engine::NetworkConfig::wish_twice},
          {"wish-late", &engine::NetworkConfig::wish_late},
          {"fact-twice", &engine::NetworkConfig::fact_twice},
          {"acknowledgement-lost", &engine::NetworkConfig::acknowledgement_lost},
          {"stream-breaks", &engine::NetworkConfig::stream_breaks}};
}

void LeaveOut(const std::vector<std::string>& without, Scenario* scenario) {
  const auto out = [&](const std::string& part) {
    return std::find(without.begin(), without.end(), part) != without.end();
  };
  for (const auto& [name, member] : ChaosParts()) {
    if (out(name)) scenario->chaos.*member = {};
  }
  for (const auto& [name, member] : NetworkParts()) {
    if (out(name)) scenario->world.network.*member = 0;
  }
  if (out("unnoticed")) scenario->world.gang.unnoticed = 0;
  if (out("controller-deaths")) scenario->controller_deaths.mean = {};
  std::erase_if(scenario->submissions, [&](const Submission& s) { return out(s.spec.command[0]); });
}

}  // namespace

Scenario DrawScenario(uint64_t seed, const std::vector<std::string>& without) {
  Random random(Mix64(seed) ^ 0x5ca1ab1e);
  Scenario scenario;
  scenario.seed = seed;
  scenario.world.seed = random.Next();
  const bool large = random.Chance(0.02);
  DrawFleet(random, large, &scenario.world);
  scenario.chaos = ChaosConfig::Draw(random, Millis(random, 1000, 10000));
  DrawRuns(random, large, &scenario);
  control::Config& control = scenario.control;
  control.seed = random.Next();
  control.snapshot_every_events = random.Chance(0.5) ? 20'000 : random.Between(20, 200);
  control.repeat_wishes_after = Millis(random, 300, 1000);
  control.recovery.backoff = Millis(random, 100, 1000);
  control.recovery.longest_backoff = Duration::Seconds(4);
  control.recovery.broken_patience = Millis(random, 100, 1500);
  control.recovery.hung_after = Duration::Seconds(9);
  control.recovery.hung_after_steps = 20;
  control.recovery.hello_within = Millis(random, 7000, 12000);
  control.placement.reserve_backoff = Millis(random, 100, 500);
  control.placement.longest_reserve_backoff = Duration::Seconds(4);
  ControllerDeaths& deaths = scenario.controller_deaths;
  if (random.Chance(0.5)) deaths.mean = Millis(random, 1500, 8000);
  if (random.Chance(0.2))
    deaths.down_max = Duration::Seconds(20);  // longer than a rank may be silent
  deaths.disk_full = Rare(random, 0.2);
  deaths.damaged_snapshot = Rare(random, 0.3);
  scenario.faults_for = Millis(random, 4000, 25000);
  scenario.patience = Millis(random, 100, 1000);
  scenario.turn_takes = Millis(random, 0, 30);
  Duration work = {}, loops = {};
  for (const Submission& submission : scenario.submissions) {
    const auto program = scenario.world.programs.find(submission.spec.command[0]);
    if (program == scenario.world.programs.end()) continue;
    const Program& p = program->second;
    work = work + p.step * p.steps + p.start_up * 4 + p.checkpoint + submission.spec.grace;
    // A crash loop is tried as often as its run allows, each time after the longest wait.
    if (p.ends_itself) {
      loops = loops + (control.recovery.longest_backoff + p.start_up + Duration::Seconds(1)) *
                          submission.spec.failures_without_progress;
    }
  }
  scenario.heals_within = Duration::Seconds(60) + work * 3 + loops;
  LeaveOut(without, &scenario);
  return scenario;
}

std::vector<std::string> PartsOf(const Scenario& scenario) {
  std::vector<std::string> parts;
  for (const Submission& s : scenario.submissions) parts.push_back(s.spec.command[0]);
  for (const auto& [name, member] : ChaosParts()) {
    if ((scenario.chaos.*member).us != 0) parts.push_back(name);
  }
  for (const auto& [name, member] : NetworkParts()) {
    if (scenario.world.network.*member != 0) parts.push_back(name);
  }
  if (scenario.world.gang.unnoticed != 0) parts.push_back("unnoticed");
  if (scenario.controller_deaths.mean.us != 0) parts.push_back("controller-deaths");
  return parts;
}

}  // namespace longrun::simulation
