// A gang in use: waits that end when the work is done, when it fails, or when a newer membership
// makes it pointless, whichever comes first. Belongs to the training loop's thread.
#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/status.h"
#include "base/time.h"
#include "training/gang.h"
#include "training/membership.h"

namespace longrun::training {

class Session {
 public:
  Session(std::shared_ptr<Gang> gang, Membership* membership, std::shared_ptr<Bell> bell)
      : gang_(std::move(gang)), membership_(membership), bell_(std::move(bell)) {}

  Gang& gang() { return *gang_; }
  const GangSpec& spec() const { return gang_->spec(); }
  Membership& membership() { return *membership_; }
  bool Superseded() const { return membership_->Superseded(gang_->spec().incarnation); }

  // Aborted: a newer membership is here. Unavailable: the group broke. Both mean: leave this gang.
  absl::Status WaitReady() {
    Gang::State state = Gang::State::kBuilding;
    bell_->WaitUntil([&] {
      state = gang_->state();
      return state != Gang::State::kBuilding || Superseded();
    });
    if (Superseded()) return absl::AbortedError("a newer membership is here");
    if (state == Gang::State::kBroken) return absl::UnavailableError(gang_->why());
    return absl::OkStatus();
  }

  absl::Status Wait(std::span<const FlightPtr> flights) {
    const Stopwatch watch;
    bool told = false;
    for (const FlightPtr& flight : flights) {
      Flight::State state = Flight::State::kRunning;
      bell_->WaitUntil([&] {
        state = flight->state();
        const bool over = state != Flight::State::kRunning || Superseded();
        if (!over && !told && watch.seconds() > kLongWaitSeconds) {
          told = true;
          membership_->Waiting(spec().incarnation);
        }
        return over;
      });
      if (state == Flight::State::kDone) continue;
      if (Superseded()) return absl::AbortedError("a newer membership is here");
      return absl::UnavailableError(flight->why());
    }
    return absl::OkStatus();
  }
  // Until none is running any more, whatever becomes of them; soon, once the gang is abandoned.
  void WaitEnded(std::span<const FlightPtr> flights) {
    for (const FlightPtr& flight : flights) {
      bell_->WaitUntil([&] { return flight->state() != Flight::State::kRunning; });
    }
  }
  absl::Status Wait(FlightPtr flight) { return Wait(std::span<const FlightPtr>(&flight, 1)); }

 private:
  // Whoever judges a gang that takes no step should know who waits and who does not.
  static constexpr double kLongWaitSeconds = 2;

  std::shared_ptr<Gang> gang_;
  Membership* membership_;
  std::shared_ptr<Bell> bell_;
};

}  // namespace longrun::training
