// What happens in one history, drawn from its seed: the engine's size, who asks for what and when,
// what is cancelled, what fails.
#pragma once

#include <vector>

#include "serving/engine/engine_config.h"
#include "serving_simulation/simulated_executor.h"

namespace longrun::serving_simulation {

struct Arrival {
  Time at;
  serving::GenerationRequest request;
  Duration cancelled_after;         // 0: never
  int64_t cancelled_at_tokens = 0;  // from within a delta; 0: never
};

struct Scenario {
  uint64_t seed = 0;
  serving::EngineConfig engine;
  SimulatedExecutorConfig executor;
  std::vector<Arrival> arrivals;  // by time
  // All tenants ask at once and without priorities: their service is compared while all wait.
  bool contest = false;
  // Those of others than tenant-0 are made in the step in which they are wanted.
  bool cheap_masks = false;
};

Scenario DrawScenario(uint64_t seed);
// Tenants that differ in what they ask for and in how early they come, all with much to do.
Scenario DrawContest(uint64_t seed);
// Higher priorities come faster than they can be served, and lower ones among them.
Scenario DrawSiege(uint64_t seed);
// One tenant's masks are the dearest there are, those of others cheap.
Scenario DrawHostile(uint64_t seed);

}  // namespace longrun::serving_simulation
