// What one seed stands for: a fleet, what users ask of it, what breaks. Drawn at random, but plain
// data: whoever wants a certain case fills one in by hand. Workload and faults know nothing of each
// other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/control.h"
#include "engine/simulated/chaos.h"
#include "engine/simulated/world_config.h"
#include "fleet/spec.h"

namespace longrun::simulation {

struct Submission {
  Duration after;  // from the start
  fleet::RunSpec spec;
  Duration cancel_after = {};  // 0: never
};

// How controllers die. The next one starts `down` later.
struct ControllerDeaths {
  Duration mean = {};  // between two; 0: none
  Duration down_min = Duration::Millis(50);
  Duration down_max = Duration::Seconds(4);
  double torn = 0.2;     // the journal's tail is half written
  double disk_full = 0;  // the journal takes no writes for once
  double damaged_snapshot = 0;
};

struct Scenario {
  uint64_t seed = 0;
  engine::WorldConfig world;
  engine::ChaosConfig chaos;
  control::Config control;
  ControllerDeaths controller_deaths;
  std::vector<Submission> submissions;
  Duration faults_for;    // then everything heals
  Duration heals_within;  // every run that can end has ended so long after that
  Duration patience;      // of a turn without facts
  Duration turn_takes;    // up to so long, while facts gather
};

// `without`: parts to leave out, for making a failing case smaller: "rank-death",
// "controller-deaths", "run-2", …
Scenario DrawScenario(uint64_t seed, const std::vector<std::string>& without = {});

// All that DrawScenario could leave out of this one.
std::vector<std::string> PartsOf(const Scenario& scenario);

}  // namespace longrun::simulation
