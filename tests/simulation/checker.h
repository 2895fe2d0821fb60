// What must hold in every history, stated outside the code that it is checked of. A checker sees
// two things: the truth, as the world does it, and the journal's events with the state before and
// after each.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/simulated/world.h"
#include "fleet/state.h"
#include "simulation/scenario.h"

namespace longrun::simulation {

class Violations {
 public:
  void Add(Time at, const std::string& what);
  const std::vector<std::string>& all() const { return all_; }

 private:
  std::vector<std::string> all_;
};

class Checker : public engine::WorldObserver {
 public:
  virtual void Before(const fleet::State&, const fleet::Event&) {}
  virtual void After(const fleet::State&, const fleet::Event&) {}
  // Between two turns, when the state holds all of the journal.
  virtual void Settled(const fleet::State&) {}
};

// No accelerator is given twice: no two living processes on one, nor two members in the journal; no
// member starts twice, or elsewhere than it was placed.
std::unique_ptr<Checker> MakeSlotChecker(const engine::World& world, Violations* violations);

// A gang is whole or absent: the processes that compute together are one journaled gang, in its
// order; as many as were asked for, or as elastic allows; placed where the manifest lets them be.
std::unique_ptr<Checker> MakeGangChecker(const engine::World& world, Violations* violations);

// What the state says of steps is true of the processes; committed steps are never lost while a
// process holds them, and are counted where they are.
std::unique_ptr<Checker> MakeStepChecker(const engine::World& world, Violations* violations);

// Held time is what the journal's placements and ends make it, to the microsecond, and its parts
// add up to it.
std::unique_ptr<Checker> MakeAccountsChecker(const engine::World& world, Violations* violations);

// What an older session or incarnation, or a process that is gone, has to say changes no run; no
// fact is folded twice, and none is left out.
std::unique_ptr<Checker> MakeStaleChecker(const engine::World& world, Violations* violations);

// Whether the fleet, all of it up and empty, has room for the run.
bool Feasible(const Scenario& scenario, const fleet::RunSpec& spec);

// What has not ended as it should although nothing stands in its way; empty: all is over.
std::vector<std::string> Unfinished(const Scenario& scenario, const fleet::State& state,
                                    const engine::World& world);

// Of the runs that are over: whether each ended as its program and the faults before `healed` let
// it.
void CheckEnds(const Scenario& scenario, const fleet::State& state, const engine::World& world,
               Time healed, Violations* violations);

}  // namespace longrun::simulation
