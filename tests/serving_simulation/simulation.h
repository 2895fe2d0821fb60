// One history of the serving engine on virtual time, with every checker watching.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "serving_simulation/scenario.h"

namespace longrun::serving_simulation {

struct Outcome {
  std::vector<std::string> violations;
  uint64_t hash = 0;  // of all that was delivered, in its order, and of the figures at the end
  Duration virtual_time;
  double largest_unfairness = 0;  // of the bound, in a contest
  int64_t patient = 0;            // requests that waited to the end of patience
  int64_t most_passes = 0;        // after that
  int64_t requests = 0, rejected = 0, cancelled = 0, failed = 0, finished = 0;
  int64_t steps = 0, preemptions = 0, swapped_in = 0, hits = 0, copies = 0, drafts_accepted = 0;
  int64_t idle_steps = 0;  // in which nothing was computed: all waited for masks
};

Outcome Simulate(const Scenario& scenario,
                 const std::function<void(const std::string&)>& say = nullptr);

}  // namespace longrun::serving_simulation
