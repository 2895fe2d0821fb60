#include "cli/scaling/run_queue.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/time.h"
#include "cli/exit_code.h"

namespace longrun::cli {
namespace {

using api::v1::RunView;

constexpr Duration kFrame = Duration::Millis(100);
constexpr double kStartSeconds = 60;
constexpr Duration kEndPatience = Duration::Seconds(30);
// The controller of a sweep that was killed needs a moment to end its ranks.
constexpr double kBusySeconds = 30;
constexpr int kMostRestarts = 5;
constexpr int kMostSubmitted = 3;  // of one run

volatile sig_atomic_t interrupts = 0;

void CountInterrupts() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupts = interrupts + 1; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

void Sleep(Duration span) { std::this_thread::sleep_for(std::chrono::microseconds(span.us)); }

absl::Status Interrupted() { return absl::CancelledError("stopped by Ctrl-C"); }

}  // namespace

RunQueue::RunQueue(StateFolder state, int parallel)
    : state_(std::move(state)), parallel_(parallel), client_(state_.socket()) {}

RunQueue::~RunQueue() {
  if (controller_ == nullptr || !controller_->running()) return;
  if (!client_.Shutdown(interrupts > 1).ok()) controller_->Terminate();
  controller_->WaitOrKill(kEndPatience);
}

absl::Status RunQueue::Open() {
  CountInterrupts();
  controller_ =
      std::make_unique<ControllerProcess>(ControllerOptions{.state = state_,
                                                            .nodes = 1,
                                                            .accelerators_per_node = parallel_,
                                                            .embedded = true,
                                                            .of_run = true});
  const Stopwatch since;
  while (true) {
    const absl::Status started = StartController();
    if (!absl::IsAlreadyExists(started) || since.seconds() > kBusySeconds) return started;
    if (interrupts > 0) return Interrupted();
    Sleep(kFrame);
  }
}

absl::Status RunQueue::StartController() {
  LR_RETURN_IF_ERROR(controller_->Start());
  const Stopwatch since;
  while (since.seconds() < kStartSeconds) {
    // Its end is looked for first: on the socket of a busy folder somebody else would answer.
    const std::string ended = controller_->Ended();
    if (!ended.empty() && controller_->exit_code() == kBusy) {
      return absl::AlreadyExistsError(
          absl::StrCat("another controller is at work in ", state_.path));
    }
    if (!ended.empty()) {
      return absl::InternalError(absl::StrCat("the controller ", ended, "; see ",
                                              state_.controller_log(), "\n",
                                              controller_->Errors()));
    }
    if (interrupts > 0) return Interrupted();
    const auto status = client_.Status("", kFrame);
    if (status.ok() && status->controller_pid() == controller_->pid() && status->nodes_size() > 0 &&
        status->nodes(0).up()) {
      return absl::OkStatus();
    }
    Sleep(Duration::Millis(20));
  }
  return absl::UnavailableError(
      absl::StrCat("the controller does not answer; see ", state_.controller_log()));
}

absl::Status RunQueue::TendController() {
  const std::string ended = controller_->Ended();
  if (ended.empty()) return absl::OkStatus();
  if (controller_->exit_code() >= 0 || ++restarts_ > kMostRestarts) {
    return absl::InternalError(
        absl::StrCat("the controller ", ended, "; see ", state_.controller_log()));
  }
  return controller_->Start();
}

absl::Status RunQueue::Submit(const QueuedRun& run) {
  api::v1::SubmitRequest request;
  request.set_manifest(run.manifest);
  request.set_manifest_name(run.name + ".yaml");
  request.set_working_folder(state_.path);
  const auto reply = client_.Submit(request);
  // One that stood in the journal already is as good.
  if (!reply.ok() && !absl::IsAlreadyExists(reply.status())) {
    // A controller that is just dying is started again by TendController.
    return absl::IsUnavailable(reply.status()) ? absl::OkStatus() : reply.status();
  }
  ++submitted_[run.name];
  return absl::OkStatus();
}

absl::StatusOr<bool> RunQueue::Collect(const RunView& view, const OnDone& on_done) {
  const int submitted = submitted_[view.run()];
  if (view.phase() == "succeeded") {
    // A run that ends while its controller is away may not have been heard to the end. It is
    // complete on disk and only tells it again.
    const absl::Status status = on_done(view);
    if (absl::IsNotFound(status) && submitted < kMostSubmitted) return false;
    LR_RETURN_IF_ERROR(status);
    return true;
  }
  if (submitted == 0) return false;  // an earlier sweep's, that was stopped
  return absl::FailedPreconditionError(
      absl::StrCat(view.run(), " ", view.phase(), " at step ", view.step(), ": ", view.reason(),
                   "\nlongrun logs ", view.run(), " --state ", state_.path, " tells more"));
}

absl::Status RunQueue::RunAll(const std::vector<QueuedRun>& runs, const OnDone& on_done,
                              const OnFrame& on_frame) {
  std::set<std::string> done;
  while (done.size() < runs.size()) {
    if (interrupts > 0) return Interrupted();
    LR_RETURN_IF_ERROR(TendController());
    const auto status = client_.Status("", Duration::Seconds(1));
    if (!status.ok()) {
      Sleep(kFrame);
      continue;
    }
    restarts_ = 0;
    std::map<std::string, const RunView*> views;
    std::vector<RunView> under_way;
    for (const RunView& view : status->runs()) {
      views[view.run()] = &view;
      if (!view.over()) under_way.push_back(view);
    }
    on_frame(under_way);
    auto room = parallel_ - static_cast<int>(under_way.size());
    for (const QueuedRun& run : runs) {
      if (done.count(run.name) > 0) continue;
      const auto found = views.find(run.name);
      if (found != views.end()) {
        if (!found->second->over()) continue;
        LR_ASSIGN_OR_RETURN(const bool collected, Collect(*found->second, on_done));
        if (collected) {
          done.insert(run.name);
          continue;
        }
      }
      // New, or one of an earlier sweep that was stopped: it goes on from its checkpoint.
      if (room-- > 0) LR_RETURN_IF_ERROR(Submit(run));
    }
    if (done.size() < runs.size()) Sleep(kFrame);
  }
  return absl::OkStatus();
}

}  // namespace longrun::cli
