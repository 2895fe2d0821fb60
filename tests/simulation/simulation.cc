#include "simulation/simulation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/codec.h"

namespace longrun::simulation {

using fleet::EventBody;

Simulation::Simulation(Scenario scenario, std::function<void(const std::string&)> trace)
    : scenario_(std::move(scenario)),
      trace_(std::move(trace)),
      random_(Mix64(scenario_.world.seed)),
      world_(scenario_.world),
      chaos_(&world_, scenario_.chaos, random_.Next()) {
  if (trace_) {
    world_.Trace([this](const std::string& what) { Trace("  " + what); });
  }
  for (const auto make :
       {MakeSlotChecker, MakeGangChecker, MakeStepChecker, MakeAccountsChecker, MakeStaleChecker}) {
    checkers_.push_back(make(world_, &violations_));
    world_.Observe(checkers_.back().get());
  }
  ScheduleUsers();
  ScheduleDeath();
  ScheduleFullDisk();
}

void Simulation::Trace(const std::string& what) const {
  if (trace_) trace_(absl::StrCat(FormatTime(now()).substr(14, 9), " ", what));
}

Outcome Simulation::Run() {
  const Time start = now();
  StartController();
  while (violations_.all().empty()) {
    if (healed_.never() && now() - start >= scenario_.faults_for) Heal();
    if (control_ == nullptr) {
      if (now() >= restart_at_) {
        StartController();
      } else {
        world_.timeline().Step(restart_at_);
      }
      continue;
    }
    try {
      Turn();
    } catch (const ControllerDied&) {
      ControllerDies();
    }
    if (!healed_.never() && Over()) break;
  }
  if (violations_.all().empty()) CheckEnds(scenario_, followed_, world_, healed_, &violations_);
  outcome_.violations = violations_.all();
  outcome_.virtual_time = now() - start;
  outcome_.faults = chaos_.faults();
  for (const auto& [id, run] : followed_.runs) {
    ++outcome_.runs;
    outcome_.runs_succeeded += run.phase == fleet::Phase::kSucceeded ? 1 : 0;
    outcome_.recoveries += static_cast<int64_t>(run.recoveries.size());
  }
  outcome_.hash = Mix64(world_.history() ^ HashOf(followed_)) ^ static_cast<uint64_t>(now().us);
  return outcome_;
}

// ---- users ----

void Simulation::ScheduleUsers() {
  for (const Submission& submission : scenario_.submissions) users_.push_back({submission});
  for (User& user : users_) {
    world_.timeline().After(user.submission.after, [this, &user] {
      user.due = true;
      if (engine_ != nullptr) engine_->Wake();
    });
    if (user.submission.cancel_after.us == 0) continue;
    world_.timeline().After(user.submission.cancel_after, [this, &user] {
      user.cancel_due = true;
      if (engine_ != nullptr) engine_->Wake();
    });
  }
}

std::vector<EventBody> Simulation::DueRequests(std::vector<User*>* submitted,
                                               std::vector<User*>* cancelled) {
  std::vector<EventBody> requests;
  std::set<fleet::RunId> named;
  for (User& user : users_) {
    const fleet::RunId& name = user.submission.spec.name;
    if (user.due && !user.acknowledged && !user.refused) {
      if (!named.insert(name).second) continue;
      const EventBody request = fleet::RunSubmitted{user.submission.spec, ""};
      if (control_->Check(request).ok()) {
        requests.push_back(request);
        submitted->push_back(&user);
      } else if (journal_.pending() > 0) {
        continue;  // whether the first attempt is durable will be known once the disk has room
      } else if (user.attempted) {
        user.acknowledged = true;  // it was durable
      } else {
        user.refused = true;
      }
    } else if (user.cancel_due && !user.cancel_over && user.acknowledged) {
      const EventBody request = fleet::CancelRequested{name, "no longer wanted"};
      if (control_->Check(request).ok()) {
        requests.push_back(request);
        cancelled->push_back(&user);
      } else {
        user.cancel_over = true;
      }
    }
  }
  return requests;
}

// ---- the controller ----

void Simulation::StartController() {
  Trace("a controller starts");
  engine_ = std::make_unique<engine::SimulatedEngine>(&world_);
  mortal_ = std::make_unique<MortalEngine>(engine_.get());
  control_ = std::make_unique<control::Control>(&journal_, mortal_.get(), scenario_.control);
  try {
    const absl::Status status = control_->Open(now(), {.version = "simulated", .pid = 1});
    if (!status.ok() && !absl::IsResourceExhausted(status)) {
      violations_.Add(now(), absl::StrCat("the journal does not open: ", status.ToString()));
      return;
    }
    if (!status.ok()) throw ControllerDied();
  } catch (const ControllerDied&) {
    ControllerDies();
    return;
  }
  FollowJournal();
  CheckState("after a start");
  CheckAcknowledged();
}

void Simulation::ControllerDies() {
  ++outcome_.controller_deaths;
  dies_now_ = false;
  journal_.dies = MortalJournal::When::kNever;
  const size_t survivors = journal_.pending() == 0 ? 0 : random_.Below(journal_.pending() + 1);
  Trace(absl::StrCat("the controller dies; ", survivors, " of ", journal_.pending(),
                     " records on their way to the disk got there"));
  control_.reset();
  mortal_.reset();
  engine_.reset();
  journal_.Crash(survivors, random_.Chance(scenario_.controller_deaths.torn));
  FollowJournal();
  const auto snapshot = journal_.NewestSnapshot();
  if (snapshot.ok() && snapshot->has_value() && (*snapshot)->seq > damaged_snapshot_ &&
      random_.Chance(scenario_.controller_deaths.damaged_snapshot)) {
    damaged_snapshot_ = (*snapshot)->seq;
    journal_.DamageNewestSnapshot();
  }
  const ControllerDeaths& deaths = scenario_.controller_deaths;
  restart_at_ = now() + Duration{random_.Between(deaths.down_min.us, deaths.down_max.us)};
}

void Simulation::ScheduleDeath() {
  const Duration mean = scenario_.controller_deaths.mean;
  if (mean.us == 0) return;
  const double us = random_.Exponential(static_cast<double>(mean.us));
  world_.timeline().After({static_cast<int64_t>(us)}, [this] {
    if (!healed_.never()) return;
    switch (random_.Below(4)) {
      case 0:
        dies_now_ = true;
        if (engine_ != nullptr) engine_->Wake();
        break;
      case 1:
        journal_.dies = MortalJournal::When::kBeforeCommit;
        break;
      case 2:
        journal_.dies = MortalJournal::When::kAfterCommit;
        break;
      case 3:
        if (mortal_ != nullptr) mortal_->calls_left = static_cast<int>(random_.Below(4));
        break;
    }
    ScheduleDeath();
  });
}

void Simulation::ScheduleFullDisk() {
  if (!random_.Chance(scenario_.controller_deaths.disk_full)) return;
  world_.timeline().After({random_.Between(0, scenario_.faults_for.us)}, [this] {
    Trace("the disk is full");
    journal_.FailWrites(absl::ResourceExhaustedError("no space left on the disk"));
    world_.timeline().After({random_.Between(50'000, 1'500'000)},
                            [this] { journal_.FailWrites(absl::OkStatus()); });
  });
}

void Simulation::Turn() {
  std::vector<fleet::Event> facts = mortal_->Observe(scenario_.patience);
  if (dies_now_) throw ControllerDied();
  std::vector<User*> submitted, cancelled;
  std::vector<EventBody> requests = DueRequests(&submitted, &cancelled);
  for (User* user : submitted) user->attempted = true;
  ++outcome_.turns;
  const absl::Status status = control_->Turn(now(), std::move(facts), std::move(requests));
  if (status.ok()) {
    for (User* user : submitted) user->acknowledged = true;
    for (User* user : cancelled) user->cancel_over = true;
    FollowJournal();
    if (outcome_.turns % 16 == 0) CheckState("between two turns");
  } else if (!absl::IsResourceExhausted(status)) {
    violations_.Add(now(), absl::StrCat("a turn failed: ", status.ToString()));
  }
  // A turn takes its time; meanwhile facts gather.
  const Time until = now() + Duration{random_.Between(0, scenario_.turn_takes.us)};
  while (world_.timeline().Step(until)) {
  }
}

// ---- checks ----

void Simulation::FollowJournal() {
  if (journal_.last_seq() == followed_seq_) return;
  const absl::Status status =
      journal_.Read(followed_seq_ + 1, [&](const control::RecordView& record) {
        const auto event = control::EventOf(record);
        if (!event.ok() || record.seq != followed_seq_ + 1) {
          violations_.Add(now(), absl::StrCat("record ", record.seq, " cannot be read"));
          return false;
        }
        followed_seq_ = record.seq;
        ++outcome_.events;
        if (trace_)
          Trace(absl::StrCat("#", record.seq, " ", fleet::RunOf(event->body).text, " ",
                             fleet::EventName(event->body), ": ", fleet::Describe(event->body)));
        for (const auto& checker : checkers_) checker->Before(followed_, *event);
        followed_.Apply(*event);
        for (const auto& checker : checkers_) checker->After(followed_, *event);
        return true;
      });
  if (!status.ok()) violations_.Add(now(), absl::StrCat("the journal: ", status.ToString()));
  for (const auto& checker : checkers_) checker->Settled(followed_);
}

// The state is what folding the journal gives, and nothing else.
void Simulation::CheckState(const char* when) {
  if (control_ == nullptr || journal_.pending() > 0) return;
  if (HashOf(followed_) != HashOf(control_->state())) {
    violations_.Add(now(), absl::StrCat("the state ", when, " is not the fold of the journal"));
  }
}

void Simulation::CheckAcknowledged() {
  for (const User& user : users_) {
    if (!user.acknowledged) continue;
    if (control_->state().FindRun(user.submission.spec.name) == nullptr) {
      violations_.Add(
          now(), absl::StrCat(user.submission.spec.name.text, " was acknowledged and is lost"));
    }
  }
}

void Simulation::Heal() {
  Trace("the faults are over");
  healed_ = now();
  chaos_.Stop();
  dies_now_ = false;
  journal_.dies = MortalJournal::When::kNever;
  journal_.FailWrites(absl::OkStatus());
  if (mortal_ != nullptr) mortal_->calls_left = -1;
}

bool Simulation::Over() {
  const bool asked = std::all_of(users_.begin(), users_.end(),
                                 [](const User& u) { return u.acknowledged || u.refused; });
  if (asked && control_ != nullptr && world_.living().empty() &&
      now() - healed_ > Duration::Seconds(10)) {
    if (Unfinished(scenario_, control_->state(), world_).empty()) {
      CheckState("at the end");
      CheckAcknowledged();
      return true;
    }
  }
  if (now() - healed_ < scenario_.heals_within || control_ == nullptr) return false;
  for (const std::string& what : Unfinished(scenario_, control_->state(), world_)) {
    violations_.Add(now(),
                    absl::StrCat(FormatDuration(now() - healed_), " after the last fault ", what));
  }
  if (violations_.all().empty()) violations_.Add(now(), "a request was never taken");
  return true;
}

Outcome Simulate(uint64_t seed, const std::vector<std::string>& without,
                 std::function<void(const std::string&)> trace) {
  return Simulation(DrawScenario(seed, without), std::move(trace)).Run();
}

}  // namespace longrun::simulation
