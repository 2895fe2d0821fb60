// One history: the real control loop, on a journal in memory, over a simulated world that follows a
// scenario; checked at every event, and for progress once the faults are over.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/control.h"
#include "engine/simulated/simulated_engine.h"
#include "simulation/checker.h"
#include "simulation/mortal.h"
#include "simulation/scenario.h"

namespace longrun::simulation {

struct Outcome {
  uint64_t hash = 0;  // of all that happened and of the state at the end
  std::vector<std::string> violations;
  int64_t events = 0;  // in the journal
  int64_t turns = 0;
  int64_t faults = 0;
  int64_t controller_deaths = 0;
  int64_t recoveries = 0;
  int64_t runs_succeeded = 0;
  int64_t runs = 0;
  Duration virtual_time;
};

class Simulation {
 public:
  // `trace` is given every event in words; may be empty.
  Simulation(Scenario scenario, std::function<void(const std::string&)> trace);
  Outcome Run();

 private:
  struct User {  // who asked for a run, and what they were told
    Submission submission;
    bool due = false;
    bool acknowledged = false;
    bool refused = false;    // its name is in use
    bool attempted = false;  // perhaps durable: nobody knows, the controller died
    bool cancel_due = false;
    bool cancel_over = false;
  };

  Time now() const { return world_.now(); }
  void ScheduleUsers();
  void ScheduleDeath();
  void ScheduleFullDisk();
  void StartController();
  void ControllerDies();
  void Turn();
  std::vector<fleet::EventBody> DueRequests(std::vector<User*>* submitted,
                                            std::vector<User*>* cancelled);
  void FollowJournal();
  void CheckState(const char* when);
  void CheckAcknowledged();
  void Heal();
  bool Over();
  void Trace(const std::string& what) const;

  const Scenario scenario_;
  std::function<void(const std::string&)> trace_;
  Random random_;
  Violations violations_;
  engine::World world_;
  engine::Chaos chaos_;
  std::vector<std::unique_ptr<Checker>> checkers_;
  MortalJournal journal_;
  std::unique_ptr<engine::SimulatedEngine> engine_;
  std::unique_ptr<MortalEngine> mortal_;
  std::unique_ptr<control::Control> control_;
  bool dies_now_ = false;
  Time restart_at_;
  Time healed_;  // never: faults still strike
  uint64_t damaged_snapshot_ = 0;
  std::vector<User> users_;
  fleet::State followed_;  // a fold of the journal's records, as they become durable
  uint64_t followed_seq_ = 0;
  Outcome outcome_;
};

// The history of a seed. A failing one prints how to see it again.
Outcome Simulate(uint64_t seed, const std::vector<std::string>& without = {},
                 std::function<void(const std::string&)> trace = nullptr);

}  // namespace longrun::simulation
