#include "cli/runs/controller_of_run.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/server.h"
#include "cli/exit_code.h"
#include "cli/runs/story.h"

namespace longrun::cli {
namespace {

// A controller of somebody else's that is away for longer will not come back by itself.
constexpr double kAwaySeconds = 60;
// One of another `longrun run` that answers no more for so long is not just being started again.
constexpr double kTakeOverSeconds = 1;
constexpr double kAnswerSeconds = 60;
// In which the nodes of a fleet of our own come; without them the run may still wait for room.
constexpr double kFleetSeconds = 5;
// In which a controller that holds the folder when ours comes serves, or is gone.
constexpr double kBusySeconds = 15;
constexpr Duration kEndPatience = Duration::Seconds(30);
// A controller that dies so often in a row, with no view between, will not live.
constexpr int kMostRestarts = 5;

int NodesUp(const api::v1::StatusReply& reply) {
  return static_cast<int>(std::count_if(reply.nodes().begin(), reply.nodes().end(),
                                        [](const api::v1::NodeView& node) { return node.up(); }));
}

void Pause(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

}  // namespace

ControllerOfRun::ControllerOfRun(const StateFolder& state, api::Client* client, Display* display,
                                 FleetSize fleet, bool (*interrupted)())
    : state_(state), client_(client), display_(display), fleet_(fleet), interrupted_(interrupted) {}

int ControllerOfRun::Fail(const absl::Status& status, int code) {
  display_->Finish();
  PrintError(status);
  return code;
}

int ControllerOfRun::FailOf(const std::string& ended) {
  display_->Finish();
  const std::string errors = own_->Errors();
  std::fprintf(stderr, "%s", errors.c_str());
  if (errors.empty()) {
    std::fprintf(stderr, "longrun: the controller %s; see %s\n", ended.c_str(),
                 state_.controller_log().c_str());
  }
  return own_->exit_code() > 0 ? own_->exit_code() : kInternal;
}

int ControllerOfRun::Connect(const fleet::RunSpec& spec, bool detach) {
  if (api::Answers(state_.socket())) {
    const auto status = client_->Status("", Duration::Seconds(10));
    if (!status.ok()) return Fail(status.status(), kUnavailable);
    if (!detach || !status->embedded()) {
      Borrow(*status);
      return kOk;
    }
  }
  if (detach) {
    return Fail(absl::UnavailableError("no controller is running that could go on with it; start "
                                       "one with: longrun up --detach"),
                kUnavailable);
  }
  return Start(spec);
}

// A fleet of our own stays as large as it is: what does not fit into it would wait for ever.
absl::Status ControllerOfRun::CheckFits(const fleet::RunSpec& spec) const {
  const int64_t per_rank = std::max(1, spec.resources.accelerators);
  const int64_t least = spec.elastic_min > 0 ? spec.elastic_min : spec.ranks;
  const int64_t room = fleet_.nodes * (fleet_.accelerators_per_node / per_rank);
  if (least <= room) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(spec.name.text, " needs room for ", Counted(least, "rank"), " of ",
                   Counted(per_rank, "accelerator"), ", and the emulated fleet has room for ", room,
                   ": give it more with --nodes and --accelerators-per-node, or ask for fewer"));
}

absl::Status ControllerOfRun::StartOwn() {
  own_ = std::make_unique<ControllerProcess>(
      ControllerOptions{.state = state_,
                        .nodes = fleet_.nodes,
                        .accelerators_per_node = fleet_.accelerators_per_node,
                        .embedded = true,
                        .of_run = true});
  return own_->Start();
}

int ControllerOfRun::Start(const fleet::RunSpec& spec) {
  if (const absl::Status fits = CheckFits(spec); !fits.ok()) return Fail(fits, kBadInput);
  if (const absl::Status started = StartOwn(); !started.ok()) return Fail(started, kInternal);
  const Stopwatch since;
  while (since.seconds() < kAnswerSeconds) {
    if (interrupted_()) return kInterrupted;
    const auto status = client_->Status("", Duration::Millis(100));
    // A gang placed on the first node that comes would only have to be made again with the
    // others. An answer may also come from one that was a little faster than ours.
    const bool ours = status.ok() && status->controller_pid() == own_->pid();
    if (ours && (NodesUp(*status) >= fleet_.nodes || since.seconds() > kFleetSeconds)) return kOk;
    if (status.ok()) Pause(5);
    const std::string ended = own_->Ended();
    if (ended.empty()) continue;
    if (own_->exit_code() != kBusy || since.seconds() > kBusySeconds) return FailOf(ended);
    Pause(100);
    if (api::Answers(state_.socket())) {
      own_.reset();
      return Connect(spec, false);
    }
    if (const absl::Status again = StartOwn(); !again.ok()) return Fail(again, kInternal);
  }
  return Fail(absl::UnavailableError(
                  absl::StrCat("the controller does not answer; see ", state_.controller_log())),
              kUnavailable);
}

// Should we take the fleet over, it keeps its size.
void ControllerOfRun::Borrow(const api::v1::StatusReply& status) {
  embedded_ = status.embedded();
  if (status.nodes().empty()) return;
  fleet_ = {.nodes = status.nodes_size(), .accelerators_per_node = 1};
  for (const auto& node : status.nodes()) {
    fleet_.accelerators_per_node = std::max(fleet_.accelerators_per_node, node.accelerators());
  }
}

int ControllerOfRun::TakeOver() {
  if (!std::exchange(told_, true)) {
    display_->Tell(
        "the longrun run that the controller belonged to is over → one of our own goes on with its "
        "fleet");
  }
  const absl::Status started = StartOwn();
  return started.ok() ? kOk : Fail(started, kInternal);
}

int ControllerOfRun::Tend(double silent_seconds, const std::string& manifest) {
  if (own_ != nullptr) return TendOwn();
  if (embedded_ && silent_seconds > kTakeOverSeconds && !api::Answers(state_.socket())) {
    return TakeOver();
  }
  if (silent_seconds <= kAwaySeconds) return kOk;
  return Fail(absl::UnavailableError(
                  absl::StrCat("the controller has been away for a minute; the ranks go on without "
                               "it. Start it again with: longrun up, then: longrun run ",
                               manifest)),
              kUnavailable);
}

int ControllerOfRun::TendOwn() {
  if (!own_->running()) return kOk;
  const std::string ended = own_->Ended();
  if (ended.empty()) return kOk;
  if (embedded_ && own_->exit_code() == kBusy) {
    own_.reset();  // the one before has not ended yet, or a third run was faster
    return kOk;
  }
  if (own_->exit_code() >= 0 || ++restarts_ > kMostRestarts) return FailOf(ended);
  display_->Tell(absl::StrCat("the controller ", ended, " → started again; the ranks run on"));
  const absl::Status started = own_->Start();
  return started.ok() ? kOk : Fail(started, kInternal);
}

void ControllerOfRun::End(bool kill) {
  if (own_ == nullptr || !own_->running()) return;
  if (!client_->Shutdown(kill).ok()) own_->Terminate();
  if (!own_->WaitOrKill(kEndPatience)) {
    std::fprintf(stderr,
                 "longrun: the controller did not end in time and was killed; see %s. What it may "
                 "have left running is ended by the next longrun run or longrun up\n",
                 state_.controller_log().c_str());
  }
}

}  // namespace longrun::cli
