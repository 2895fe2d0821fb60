// `longrun run`: submits a run and watches it to its end, with a controller of its own where none
// is running.
#include <signal.h>

#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "api/run_request.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/strict_yaml.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/runs/controller_of_run.h"
#include "cli/runs/display.h"
#include "cli/runs/drill.h"
#include "cli/runs/story.h"
#include "cli/runs/summary.h"
#include "cli/runs/watch.h"
#include "cli/state_folder.h"

namespace longrun::cli {
namespace {

using api::v1::RunView;

constexpr Duration kFrame = Duration::Millis(100);

volatile sig_atomic_t interrupts = 0;

void CountInterrupts() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupts = interrupts + 1; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

bool Interrupted() { return interrupts > 0; }

class RunSession {
 public:
  RunSession(const RunFlags& flags, StateFolder state)
      : flags_(flags),
        state_(std::move(state)),
        client_(state_.socket()),
        out_(flags.common.json ? stderr : stdout),
        display_(Display::For(out_)),
        controller_(state_, &client_, display_.get(),
                    {.nodes = flags.nodes, .accelerators_per_node = flags.accelerators_per_node},
                    &Interrupted) {}

  int Go() {
    int code = Prepare();
    if (code == kOk) code = controller_.Connect(spec_, flags_.detach);
    if (code == kOk) code = Submit();
    if (code == kOk && !flags_.detach) code = WatchToTheEnd();
    controller_.End(false);
    return code;
  }

 private:
  int Fail(const absl::Status& status, int code) {
    display_->Finish();
    PrintError(status);
    return code;
  }

  // Reads what was asked for: every mistake in it is told before anything starts.
  int Prepare() {
    for (const std::string& text : flags_.drills) {
      const absl::StatusOr<Drill> drill = ParseDrill(text);
      if (!drill.ok()) return Fail(drill.status(), kUsage);
      drills_.push_back(*drill);
    }
    const absl::StatusOr<std::string> text = ReadFile(flags_.file, kYamlSizeLimit);
    if (!text.ok()) return Fail(text.status(), kBadInput);
    const std::filesystem::path file = std::filesystem::absolute(flags_.file);
    request_.set_manifest(*text);
    request_.set_manifest_name(flags_.file);
    request_.set_name(flags_.name);
    request_.set_working_folder(file.lexically_normal().parent_path().string());
    const absl::StatusOr<fleet::RunSpec> spec = api::SpecOf(request_);
    if (!spec.ok()) return Fail(spec.status(), kBadInput);
    spec_ = *spec;
    return kOk;
  }

  // Goes on with a run of this name that is under way, or asks for a new one.
  int Submit() {
    const auto status = client_.Status("", Duration::Seconds(30));
    if (!status.ok()) return Fail(status.status(), kUnavailable);
    for (const RunView& view : status->runs()) {
      if (view.run() != spec_.name.text) continue;
      if (!view.over()) return Attach(view);
      TellOfEarlier(view);
    }
    run_ = spec_.name.text;
    if (flags_.fresh) {
      if (const int code = MoveAside(); code != kOk) return code;
    }
    const auto reply = client_.Submit(request_);
    if (!reply.ok()) return Fail(reply.status(), ExitCodeOf(reply.status()));
    run_ = reply->run();
    if (flags_.detach) {
      std::fprintf(out_, "%s submitted; longrun status %s\n", run_.c_str(), run_.c_str());
      if (flags_.common.json) {
        std::printf("%s\n", nlohmann::json({{"run", run_}}).dump().c_str());
      }
    } else {
      display_->Tell(absl::StrCat(run_, ": ", Counted(spec_.ranks, "rank"),
                                  spec_.spares > 0 ? ", " + Counted(spec_.spares, "spare") : "",
                                  "; folder ", state_.run(run_)));
    }
    return kOk;
  }

  int Attach(const RunView& view) {
    if (flags_.fresh || view.spec_hash() != HashOf(spec_)) {
      return Fail(
          absl::FailedPreconditionError(absl::StrCat(
              view.run(), " is under way", flags_.fresh ? "" : " with another manifest", " (",
              view.phase(), ", step ", view.step(), "); cancel it with: longrun cancel ",
              view.run(), ", or choose another name with --name")),
          kFailed);
    }
    run_ = view.run();
    display_->Tell(absl::StrCat(run_, " is under way (step ", view.step(), "): going on with it"));
    return kOk;
  }

  void TellOfEarlier(const RunView& view) {
    if (flags_.fresh) return;
    if (view.phase() == "succeeded" && flags_.name.empty()) {
      request_.set_unique_name(true);
      display_->Tell(absl::StrCat("an earlier ", view.run(), " succeeded; its folder is kept"));
      return;
    }
    display_->Tell(
        absl::StrCat("an earlier ", view.run(), " ", view.phase() == "cancelled" ? "was " : "",
                     view.phase(), " at step ", view.step(),
                     view.checkpoint_step() < 0
                         ? "; what is in its folder stays there (--fresh begins anew)"
                         : "; its newest checkpoint is gone on from (--fresh begins anew)"));
  }

  int MoveAside() {
    const std::string folder = state_.run(run_);
    std::error_code error;
    if (!std::filesystem::exists(folder, error)) return kOk;
    std::filesystem::remove_all(folder + ".old", error);
    std::filesystem::rename(folder, folder + ".old", error);
    if (error) {
      return Fail(
          absl::InternalError(absl::StrCat("cannot move ", folder, " aside: ", error.message())),
          kInternal);
    }
    display_->Tell(absl::StrCat("the earlier folder is now ", folder, ".old"));
    return kOk;
  }

  int WatchToTheEnd() {
    RunView view;
    {
      Watch watch(&client_, run_);
      while (!view.over()) {
        const auto next = watch.Next(kFrame);
        if (next.has_value()) {
          view = *next;
          Show(view);
        }
        const int code = Tend(watch, view);
        if (code != kOk) {
          controller_.End(true);
          return code;
        }
      }
    }
    display_->Finish();
    return Conclude(view);
  }

  void Show(const RunView& view) {
    controller_.Seen();
    for (const std::string& line : story_.Update(view)) display_->Tell(line);
    display_->Show(view);
    for (size_t i = 0; i < drills_.size(); ++i) {
      if (!drills_[i].Due(view)) continue;
      const api::v1::FaultRequest request = drills_[i].RequestFor(view);
      drills_.erase(drills_.begin() + static_cast<ptrdiff_t>(i));
      display_->Tell(absl::StrCat("drill at step ", view.step(), ": ", request.kind(),
                                  request.node().empty() ? "" : " " + request.node(),
                                  request.kind() == "kill-rank" || request.kind() == "hang-rank"
                                      ? absl::StrCat(" ", request.rank())
                                      : ""));
      const absl::Status done = client_.Fault(request);
      if (!done.ok()) display_->Tell(absl::StrCat("drill: ", std::string(done.message())));
      return;
    }
  }

  // What a frame asks for beside the picture: Ctrl-C, a controller that died or went away.
  int Tend(const Watch& watch, const RunView& view) {
    if (interrupts >= 2) {
      display_->Finish();
      std::fprintf(stderr, "longrun: stopped at once\n");
      if (!controller_.own()) std::_Exit(kInterrupted);  // the cancelled run ends by itself
      (void)client_.Shutdown(true);
      return kInterrupted;
    }
    if (interrupts == 1 && !cancelled_) {
      cancelled_ = true;
      display_->Tell("Ctrl-C: the ranks save a checkpoint and stop (once more: at once)");
      const absl::Status status = client_.Cancel(run_, "Ctrl-C");
      if (absl::IsUnavailable(status)) {
        cancelled_ = false;  // asked again of the next controller
      } else if (!status.ok()) {
        display_->Tell(absl::StrCat("that cannot be put down: ", std::string(status.message())));
      }
    }
    return controller_.Tend(watch.silent_seconds(), flags_.file);
  }

  int Conclude(const RunView& view) {
    const bool good = view.phase() == "succeeded";
    for (const Drill& drill : drills_) {
      std::fprintf(stderr, "longrun: the drill %s was not reached%s\n", drill.text.c_str(),
                   drill.percent > 0 && view.total_steps() == 0
                       ? ": the program reports no total_steps, so give it a step"
                       : "");
    }
    if (flags_.common.json) {
      std::printf("%s\n", SummaryJson(view, state_.run(run_), wall_.seconds()).dump().c_str());
      std::fflush(stdout);
    } else {
      std::printf("%s", SummaryText(view, state_.run(run_), wall_.seconds(),
                                    {.programs = flags_.programs, .state = flags_.common.state})
                            .c_str());
    }
    if (good) return kOk;
    if (interrupts == 0) return kFailed;
    std::fprintf(stderr, "longrun: stopped at step %lld; the same command goes on from there\n",
                 static_cast<long long>(view.step()));
    return kInterrupted;
  }

  const RunFlags& flags_;
  const StateFolder state_;
  const Stopwatch wall_;
  api::Client client_;
  FILE* out_;
  std::unique_ptr<Display> display_;
  Story story_;
  std::vector<Drill> drills_;
  api::v1::SubmitRequest request_;
  fleet::RunSpec spec_;
  std::string run_;
  ControllerOfRun controller_;
  bool cancelled_ = false;
};

}  // namespace

int Run(const RunFlags& flags) {
  CountInterrupts();
  const absl::StatusOr<StateFolder> state = FindStateFolder(flags.common.state);
  if (!state.ok()) {
    PrintError(state.status());
    return kUsage;
  }
  return RunSession(flags, *state).Go();
}

}  // namespace longrun::cli
