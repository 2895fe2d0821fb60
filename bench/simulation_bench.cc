// Histories per second: what a seed of the simulation costs, and how much virtual time it covers.
//
//   simulation_bench [SEEDS]
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "base/time.h"
#include "simulation/simulation.h"

int main(int argc, char** argv) {
  using longrun::Duration;
  using longrun::simulation::Outcome;
  const uint64_t seeds = argc > 1 ? strtoull(argv[1], nullptr, 10) : 2'000;
  Duration virtual_time;
  int64_t events = 0, turns = 0, faults = 0;
  // Of this process alone, whatever else the machine does.
  const std::clock_t start = std::clock();
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    const Outcome outcome = longrun::simulation::Simulate(seed);
    virtual_time = virtual_time + outcome.virtual_time;
    events += outcome.events;
    turns += outcome.turns;
    faults += outcome.faults;
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  printf("%.0f seeds/s on one core (target: 200)\n", static_cast<double>(seeds) / seconds);
  printf(
      "%.0f journaled events/s, %.0f turns/s, %.0f faults/s, %.0f seconds of virtual time per "
      "second\n",
      static_cast<double>(events) / seconds, static_cast<double>(turns) / seconds,
      static_cast<double>(faults) / seconds, virtual_time.seconds() / seconds);
  return static_cast<double>(seeds) / seconds >= 200 ? 0 : 1;
}
