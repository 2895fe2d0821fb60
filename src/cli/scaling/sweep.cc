// `longrun sweep`: small runs, a law through them, a prediction that is registered, the large run,
// and what became of the prediction.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/file.h"
#include "base/strict_yaml.h"
#include "base/time.h"
#include "base/units.h"
#include "cli/declared.h"
#include "cli/exit_code.h"
#include "cli/scaling/points_input.h"
#include "cli/scaling/run_queue.h"
#include "cli/scaling/sweep_folder.h"
#include "cli/scaling/sweep_view.h"
#include "scaling/fit/bootstrap.h"
#include "scaling/forecast/calibration.h"

namespace longrun::cli {
namespace {

using api::v1::RunView;
using scaling::SweepConfig;
using scaling::SweepDesign;
using scaling::SweepRun;

struct SweepFlags {
  std::string file;
  std::string folder;
  int64_t seed = -1;
  int parallel = 0;
  bool plan = false;
  bool json = false;
};

int Cores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

int ParallelOf(const SweepConfig& config) {
  if (config.parallel > 0) return static_cast<int>(config.parallel);
  return std::max(1, Cores() / static_cast<int>(config.threads));
}

// Lines that stay, and below them on a terminal one that does not.
class Progress {
 public:
  explicit Progress(FILE* out) : out_(out), terminal_(::isatty(::fileno(out)) != 0) {}
  ~Progress() { Show(""); }

  void Tell(const std::string& line) {
    Show("");
    std::fprintf(out_, "%s\n", line.c_str());
    std::fflush(out_);
  }
  void Show(const std::string& line) {
    if (!terminal_ || line == shown_) return;
    std::fprintf(out_, "\r\x1b[K%s", line.substr(0, 79).c_str());
    std::fflush(out_);
    shown_ = line;
  }

 private:
  FILE* out_;
  const bool terminal_;
  std::string shown_;
};

class Sweep {
 public:
  Sweep(SweepConfig config, SweepDesign design, SweepFolder folder, FILE* out)
      : folder_(std::move(folder)), times_(static_cast<int>(config.threads)), progress_(out) {
    outcome_.config = std::move(config);
    outcome_.design = std::move(design);
  }

  absl::StatusOr<SweepOutcome> Run() {
    const Stopwatch wall;
    LR_ASSIGN_OR_RETURN(const StateFolder state, FindStateFolder(folder_.state()));
    LR_RETURN_IF_ERROR(folder_.Prepare(outcome_.config, outcome_.design));
    RunQueue queue(state, ParallelOf(outcome_.config));
    LR_RETURN_IF_ERROR(queue.Open());
    LR_RETURN_IF_ERROR(RunLadder(queue));
    LR_RETURN_IF_ERROR(Foretell());
    LR_RETURN_IF_ERROR(RunTarget(queue));
    outcome_.wall_seconds = wall.seconds();
    LR_RETURN_IF_ERROR(
        WriteFileAtomically(folder_.path() + "/report.json", ReportJson(outcome_).dump(2) + "\n"));
    LR_RETURN_IF_ERROR(WriteFileAtomically(folder_.path() + "/report.txt", ReportText(outcome_)));
    return std::move(outcome_);
  }

 private:
  QueuedRun Queued(const SweepRun& run) const {
    return {run.name, scaling::ManifestYaml(outcome_.config, run, folder_.config(run))};
  }

  // What a finished run reached. NotFound: it did not say.
  absl::StatusOr<SweepResult> ResultOf(const SweepRun& run, const RunView& view) {
    const auto loss = view.metrics().find("validation_loss");
    if (loss == view.metrics().end() || view.total_steps() == 0) {
      return absl::NotFoundError(absl::StrCat(run.name, ": ended without a validation loss"));
    }
    if (!std::isfinite(loss->second) || loss->second <= 0) {
      return absl::FailedPreconditionError(
          absl::StrFormat("%s: its validation loss is %f", run.name, loss->second));
    }
    if (view.total_steps() != run.steps) {
      return absl::FailedPreconditionError(absl::StrCat(
          run.name, ": made ", view.total_steps(), " steps where ", run.steps, " were asked for"));
    }
    SweepResult result;
    result.loss = loss->second;
    result.seconds = Duration::Micros(view.finished_us() - view.started_us()).seconds();
    LR_ASSIGN_OR_RETURN(result.data_hash, folder_.DataHash(run.name));
    if (data_hash_.empty()) data_hash_ = result.data_hash;
    if (result.data_hash != data_hash_) {
      return absl::FailedPreconditionError(
          absl::StrCat(run.name,
                       ": read other text or another tokenizer than the runs before it; "
                       "did the text change? Begin anew with another --folder"));
    }
    times_.Measured(run, result.seconds);
    return result;
  }

  absl::Status RunLadder(RunQueue& queue) {
    std::map<std::string, const SweepRun*> by_name;
    std::vector<QueuedRun> queued;
    for (const SweepRun& run : outcome_.design.ladder) {
      by_name[run.name] = &run;
      queued.push_back(Queued(run));
    }
    const auto on_done = [&](const RunView& view) -> absl::Status {
      const SweepRun& run = *by_name.at(view.run());
      LR_ASSIGN_OR_RETURN(outcome_.results[run.name], ResultOf(run, view));
      const SweepResult& result = outcome_.results[run.name];
      LR_RETURN_IF_ERROR(folder_.WriteResults(outcome_.design, outcome_.results));
      progress_.Tell(absl::StrFormat("%3d of %d  %-28s loss %.4f  %s", outcome_.results.size(),
                                     queued.size(), run.name, result.loss,
                                     FormatDuration(Duration::Seconds(result.seconds))));
      return absl::OkStatus();
    };
    return queue.RunAll(queued, on_done,
                        [&](const std::vector<RunView>& views) { ShowLadder(views); });
  }

  void ShowLadder(const std::vector<RunView>& views) {
    double left = 0;
    for (const SweepRun& run : outcome_.design.ladder) {
      if (outcome_.results.count(run.name) == 0) left += times_.Seconds(run);
    }
    progress_.Show(
        absl::StrFormat("%d of %d runs done, %d under way, about %s left, then the target: %s",
                        outcome_.results.size(), outcome_.design.ladder.size(), views.size(),
                        FormatDuration(Duration::Seconds(left / ParallelOf(outcome_.config))),
                        FormatDuration(Duration::Seconds(times_.Seconds(outcome_.design.target)))));
  }

  // The prediction that stands, or a new one, on disk before the target begins.
  absl::Status Foretell() {
    PointFlags flags;
    flags.file = folder_.results();
    flags.columns = {.params = "params", .tokens = "tokens", .compute = "compute", .loss = "loss"};
    LR_ASSIGN_OR_RETURN(PointsInput input, LoadPoints(flags));
    LR_ASSIGN_OR_RETURN(const std::optional<scaling::Registration> earlier,
                        folder_.ReadPrediction());
    if (earlier) {
      LR_RETURN_IF_ERROR(CheckStanding(*earlier, input.source.hash));
      outcome_.registration = *earlier;
    } else {
      LR_RETURN_IF_ERROR(Register(std::move(input)));
    }
    progress_.Tell(absl::StrCat(PredictionLine(outcome_.registration), "; registered ",
                                outcome_.registration.registered));
    return absl::OkStatus();
  }

  absl::Status CheckStanding(const scaling::Registration& earlier, const std::string& hash) const {
    const SweepRun& target = outcome_.design.target;
    const scaling::Point& point = earlier.prediction.point;
    const bool same = std::abs(point.compute / target.compute - 1) < 1e-9 &&
                      earlier.forecast.law->name() == outcome_.config.law;
    if (same && earlier.source.hash == hash) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        folder_.prediction(), ": registered ", earlier.registered, " ",
        same ? "from other results" : "for another run, or by another law",
        "; a prediction that stands is not written over: choose another folder with --folder"));
  }

  absl::Status Register(PointsInput input) {
    const SweepConfig& config = outcome_.config;
    scaling::Objective objective;
    objective.delta = config.huber;
    LR_ASSIGN_OR_RETURN(const scaling::Law* law, scaling::FindLaw(config.law));
    scaling::FitRecord record;
    LR_ASSIGN_OR_RETURN(record.fit, FitLaw(*law, input.points, objective));
    record.points = std::move(input.points);
    record.source = std::move(input.source);
    record.made = FormatTime(WallClock().Now());
    scaling::CalibrationOptions options;
    options.objective = objective;
    options.threads = Cores();
    scaling::Registration& registration = outcome_.registration;
    // Refuses a fit that cannot be trusted, and says what to measure.
    LR_ASSIGN_OR_RETURN(registration.forecast, MakeForecast(record.fit, record.points, options));
    LR_ASSIGN_OR_RETURN(
        registration.prediction,
        Predict(registration.forecast, outcome_.design.target.ToPoint(scaling::kUnknown)));
    scaling::BootstrapOptions bootstrap;
    bootstrap.threads = options.threads;
    LR_ASSIGN_OR_RETURN(record.bootstrap, Resample(record.fit, record.points, bootstrap));
    LR_RETURN_IF_ERROR(WriteFileAtomically(folder_.fit(), WriteFitFile(record)));
    registration.source = record.source;
    registration.fit_made = record.made;
    registration.registered = FormatTime(WallClock().Now());
    return WriteFileAtomically(folder_.prediction(), WriteRegistration(registration));
  }

  absl::Status RunTarget(RunQueue& queue) {
    const SweepRun& run = outcome_.design.target;
    const auto on_done = [&](const RunView& view) -> absl::Status {
      LR_ASSIGN_OR_RETURN(outcome_.target, ResultOf(run, view));
      return absl::OkStatus();
    };
    const auto on_frame = [&](const std::vector<RunView>& views) {
      if (views.empty()) return;
      progress_.Show(absl::StrFormat("the target: step %s of %s, loss %.3f",
                                     FormatCount(views[0].step()), FormatCount(run.steps),
                                     views[0].loss()));
    };
    return queue.RunAll({Queued(run)}, on_done, on_frame);
  }

  const SweepFolder folder_;
  RunTimes times_;
  Progress progress_;
  std::string data_hash_;
  SweepOutcome outcome_;
};

absl::StatusOr<SweepConfig> ReadConfig(const SweepFlags& flags) {
  const absl::StatusOr<std::string> text = ReadFile(flags.file, kYamlSizeLimit);
  if (!text.ok()) return absl::InvalidArgumentError(text.status().message());
  LR_ASSIGN_OR_RETURN(SweepConfig config, scaling::ParseSweep(*text, flags.file));
  if (flags.seed >= 0) config.seed = flags.seed;
  if (flags.parallel > 0) config.parallel = flags.parallel;
  return config;
}

int Plan(const SweepFlags& flags, const SweepConfig& config, const SweepDesign& design) {
  const RunTimes times(static_cast<int>(config.threads));
  const int parallel = ParallelOf(config);
  if (flags.json) {
    std::printf("%s\n", PlanJson(config, design, times, parallel).dump().c_str());
  } else {
    std::fputs(PlanText(config, design, times, parallel).c_str(), stdout);
  }
  return kOk;
}

int Fail(const absl::Status& status, const std::string& folder) {
  if (absl::IsCancelled(status)) {
    std::fprintf(stderr, "longrun: stopped; the same command goes on from there (%s)\n",
                 folder.c_str());
    return kInterrupted;
  }
  PrintError(status);
  if (absl::IsAlreadyExists(status)) return kBusy;
  // What runs or a law could not do is no mistake in a file.
  const bool failed = absl::IsFailedPrecondition(status) || absl::IsOutOfRange(status);
  return failed ? kFailed : ExitCodeOf(status);
}

int SweepCommand(const SweepFlags& flags) {
  absl::StatusOr<SweepConfig> config = ReadConfig(flags);
  if (!config.ok()) return Fail(config.status(), "");
  absl::StatusOr<SweepDesign> design = DesignSweep(*config, flags.file);
  if (!design.ok()) return Fail(design.status(), "");
  if (flags.plan) return Plan(flags, *config, *design);
  const std::string name =
      flags.folder.empty() ? absl::StrCat(config->name, "-", config->seed) : flags.folder;
  const std::string path = std::filesystem::absolute(name).lexically_normal().string();
  Sweep sweep(*std::move(config), *std::move(design), SweepFolder(path),
              flags.json ? stderr : stdout);
  const absl::StatusOr<SweepOutcome> outcome = sweep.Run();
  if (!outcome.ok()) return Fail(outcome.status(), path);
  if (flags.json) {
    std::printf("%s\n", ReportJson(*outcome).dump().c_str());
  } else {
    std::printf("\n%s\neverything is in %s\n", ReportText(*outcome).c_str(), path.c_str());
  }
  return kOk;
}

}  // namespace

void DeclareSweep(const Declare& declare) {
  const auto flags = std::make_shared<SweepFlags>();
  Declared& command = declare(
      "sweep", "Run a ladder of small models, foretell a large one, run it, compare",
      "  longrun sweep bench/sweep.yaml --plan          the runs and about how long they take\n"
      "  longrun sweep bench/sweep.yaml\n"
      "  longrun sweep bench/sweep.yaml --seed 3 --folder /tmp/sweep-3 --json\n\n"
      "The folder holds results.csv, fit.json, prediction.json (registered before the large run\n"
      "begins), report.json and report.txt. A sweep that was stopped or killed goes on with the\n"
      "same command. Exits with 0 whether or not the prediction held: the report says so; with 1\n"
      "where a run failed or no law can be trusted; with 78 where the file is wrong.");
  command.words = CommandShape::Words::kFiles;
  command.act = [flags] { return SweepCommand(*flags); };
  CLI::App* app = command.app;
  app->add_option("SWEEP", flags->file, "What to run (YAML)")->required()->type_name("FILE");
  app->add_option("--folder", flags->folder, "Where everything goes (NAME-SEED)")->type_name("DIR");
  app->add_option("--seed", flags->seed, "In place of the file's")
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000'000}));
  app->add_option("--parallel", flags->parallel, "Runs at once (cores over threads)")
      ->check(CLI::Range(1, 1024));
  app->add_flag("--plan", flags->plan, "Show the runs and end");
  app->add_flag("--json", flags->json, "Answer with one JSON object");
}

}  // namespace longrun::cli
