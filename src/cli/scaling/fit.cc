// `longrun fit`: points from a CSV, a law through them, how well it is known, and what it says of
// larger models.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/time.h"
#include "base/units.h"
#include "cli/declared.h"
#include "cli/exit_code.h"
#include "cli/scaling/fit_view.h"
#include "cli/scaling/frontier.h"
#include "cli/scaling/plot.h"
#include "cli/scaling/points_input.h"
#include "scaling/picture/fit.h"

namespace longrun::cli {
namespace {

using scaling::BootstrapOptions;
using scaling::Fit;
using scaling::Objective;

constexpr int kFrontierMost = 1000;  // resamples that tell all there is to tell of a line

struct FitFlags {
  PointFlags points;
  std::string law;  // empty: chosen by the columns
  double huber = 1e-3;
  bool squares = false;
  bool free_scale = false;
  int resamples = 4000;
  std::string resample;  // empty: runs where a run has several points, else cases
  uint64_t seed = 1;
  int threads = 0;  // 0: as many as the machine has
  std::vector<std::string> budgets;
  bool sensitivity = false;
  std::string other_params;
  std::string out;
  PlotFlags plot;
  std::vector<std::string> reached;  // "COMPUTE:LOSS"
  bool json = false;
};

Objective ObjectiveOf(const FitFlags& flags) {
  if (flags.squares) return {Objective::Kind::kSquares};
  return {flags.free_scale ? Objective::Kind::kHuberDensity : Objective::Kind::kHuber, flags.huber};
}

absl::StatusOr<const scaling::Law*> LawOf(const FitFlags& flags, const scaling::Points& points) {
  if (!flags.law.empty()) return scaling::FindLaw(flags.law);
  const bool params = points[0].params > 0;
  const bool tokens = points[0].tokens > 0;
  if (params && tokens) return &scaling::ChinchillaLaw();
  if (params) return &scaling::PowerParamsLaw();
  return tokens ? &scaling::PowerTokensLaw() : &scaling::PowerComputeLaw();
}

BootstrapOptions BootstrapOf(const FitFlags& flags, bool has_runs) {
  BootstrapOptions options;
  const bool runs = flags.resample == "runs" || (flags.resample.empty() && has_runs);
  options.kind = runs                            ? BootstrapOptions::Kind::kClusters
                 : flags.resample == "residuals" ? BootstrapOptions::Kind::kResiduals
                                                 : BootstrapOptions::Kind::kCases;
  options.resamples = flags.resamples;
  options.seed = flags.seed;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  options.threads = flags.threads > 0 ? flags.threads : std::max(1, cores);
  return options;
}

// The budgets asked for; else ten times the largest run.
absl::StatusOr<std::vector<double>> Budgets(const FitFlags& flags, const scaling::Points& points) {
  std::vector<double> out;
  for (const std::string& text : flags.budgets) {
    LR_ASSIGN_OR_RETURN(const double value, ParseQuantity(text));
    out.push_back(value);
  }
  double largest = 0;
  for (const scaling::Point& p : points) largest = std::max(largest, p.compute);
  if (out.empty() && largest > 0) out.push_back(10 * largest);
  return out;
}

absl::StatusOr<std::vector<scaling::VariantResult>> Sensitivity(const FitFlags& flags,
                                                                const scaling::Law& law) {
  PointFlags all = flags.points;
  all.drop.highest = 0;
  LR_ASSIGN_OR_RETURN(const PointsInput input, LoadPoints(all));
  PointsInput other;
  if (!flags.other_params.empty()) {
    all.columns.params = flags.other_params;
    LR_ASSIGN_OR_RETURN(other, LoadPoints(all));
  }
  return FitVariants(
      law, Variants(input.points, flags.points.drop.highest, ObjectiveOf(flags), other.points));
}

absl::Status ResampleInto(const FitFlags& flags, bool has_runs, FitAnswer& answer) {
  if (flags.resamples == 0 || !answer.record.fit.trusted()) return absl::OkStatus();
  Stopwatch watch;
  LR_ASSIGN_OR_RETURN(answer.record.bootstrap, Resample(answer.record.fit, answer.record.points,
                                                        BootstrapOf(flags, has_runs)));
  answer.bootstrap_seconds = watch.seconds();
  const scaling::Bootstrap& bootstrap = answer.record.bootstrap;
  if (bootstrap.at_bound * 50 > flags.resamples) {
    answer.record.fit.warnings.push_back(
        absl::StrCat("in ", bootstrap.at_bound, " of ", flags.resamples,
                     " resamples an exponent went to its bound: the intervals are too narrow"));
  }
  return absl::OkStatus();
}

// Runs that came later, for the picture.
absl::StatusOr<scaling::Points> Reached(const FitFlags& flags) {
  scaling::Points points;
  for (const std::string& text : flags.reached) {
    const size_t colon = text.find(':');
    const absl::StatusOr<double> compute = ParseQuantity(text.substr(0, colon));
    const absl::StatusOr<double> loss =
        ParseQuantity(colon == text.npos ? "" : text.substr(colon + 1));
    if (!compute.ok() || !loss.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--reached \"", text, "\": compute and loss are right, such as 1.3e22:1.99"));
    }
    scaling::Point& point = points.emplace_back();
    point.compute = *compute;
    point.loss = *loss;
  }
  return points;
}

absl::StatusOr<FitAnswer> MakeAnswer(const FitFlags& flags) {
  LR_RETURN_IF_ERROR(CheckPlotFlags(flags.plot));
  LR_RETURN_IF_ERROR(Reached(flags).status());
  Stopwatch watch;
  LR_ASSIGN_OR_RETURN(PointsInput input, LoadPoints(flags.points));
  LR_ASSIGN_OR_RETURN(const scaling::Law* law, LawOf(flags, input.points));
  LR_ASSIGN_OR_RETURN(const std::vector<double> budgets, Budgets(flags, input.points));
  FitAnswer answer;
  absl::StatusOr<Fit> fit = FitLaw(*law, input.points, ObjectiveOf(flags));
  if (!fit.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(flags.points.file, ": ", std::string(fit.status().message())));
  }
  answer.record.fit = *std::move(fit);
  answer.seconds = watch.seconds();
  answer.record.points = std::move(input.points);
  answer.record.dropped = std::move(input.dropped);
  answer.record.source = std::move(input.source);
  answer.record.made = FormatTime(WallClock().Now());
  answer.read_as = std::move(input.read_as);
  answer.warnings = std::move(input.warnings);
  LR_RETURN_IF_ERROR(ResampleInto(flags, input.has_runs, answer));
  if (answer.record.fit.trusted()) {
    for (const double compute : budgets) {
      auto optimum = EstimateOptimum(answer.record.fit, answer.record.bootstrap, compute);
      if (optimum) answer.optima.push_back(*std::move(optimum));
    }
    answer.growth = EstimateGrowth(answer.record.fit, answer.record.bootstrap);
  }
  if (flags.sensitivity) {
    LR_ASSIGN_OR_RETURN(answer.sensitivity, Sensitivity(flags, *law));
  }
  return answer;
}

void PrintMessages(const FitAnswer& answer, const FitFlags& flags) {
  for (const auto* warnings : {&answer.warnings, &answer.record.fit.warnings}) {
    for (const std::string& warning : *warnings) {
      std::fprintf(stderr, "warning: %s\n", warning.c_str());
    }
  }
  for (const scaling::Refusal& refusal : answer.record.fit.refusals) {
    std::fprintf(stderr, "longrun: no law: %s\n  measure next: %s\n", refusal.reason.c_str(),
                 refusal.measure_next.c_str());
  }
  if (answer.record.fit.trusted() && flags.out.empty()) {
    std::printf("keep it with --out FIT.json; then: longrun predict FIT.json --compute …\n");
  }
}

// What --law isoflop and --law envelope do not have is not passed over in silence.
int FrontierCommand(const FitFlags& flags) {
  if (!flags.out.empty() || flags.sensitivity || flags.plot.wanted()) {
    PrintError(absl::InvalidArgumentError(absl::StrCat("--law ", flags.law,
                                                       " is no law of the loss: it takes no ",
                                                       !flags.out.empty()  ? "--out"
                                                       : flags.sensitivity ? "--sensitivity"
                                                                           : "--plot")));
    return kUsage;
  }
  const absl::StatusOr<std::vector<double>> budgets = Budgets(flags, {});
  if (!budgets.ok()) {
    PrintError(budgets.status());
    return kUsage;
  }
  return FitFrontier({flags.points, flags.law, *budgets, std::min(flags.resamples, kFrontierMost),
                      flags.seed, flags.json});
}

// To the largest budget asked for.
absl::Status Draw(const FitAnswer& answer, const FitFlags& flags) {
  double beyond = 0;
  for (const scaling::OptimumEstimate& optimum : answer.optima) {
    beyond = std::max(beyond, optimum.best.compute);
  }
  LR_ASSIGN_OR_RETURN(const scaling::Points reached, Reached(flags));
  return Plot(scaling::FitPicture(answer.record, beyond, reached), flags.plot);
}

int FitCommand(const FitFlags& flags) {
  if (flags.law == "isoflop" || flags.law == "envelope") return FrontierCommand(flags);
  const absl::StatusOr<FitAnswer> answer = MakeAnswer(flags);
  if (!answer.ok()) {
    PrintError(answer.status());
    return ExitCodeOf(answer.status());
  }
  const bool trusted = answer->record.fit.trusted();
  if (!flags.out.empty() && trusted) {
    const absl::Status written = WriteFileAtomically(flags.out, WriteFitFile(answer->record));
    if (!written.ok()) {
      PrintError(written);
      return kInternal;
    }
  }
  if (flags.plot.wanted() && trusted) {
    const absl::Status drawn = Draw(*answer, flags);
    if (!drawn.ok()) {
      PrintError(drawn);
      return ExitCodeOf(drawn);
    }
  }
  if (flags.json) {
    std::printf("%s\n", FitJson(*answer).dump().c_str());
    return trusted ? kOk : kFailed;
  }
  std::fputs(FitText(*answer).c_str(), stdout);
  PrintMessages(*answer, flags);
  if (!flags.out.empty()) {
    std::fprintf(stderr, trusted ? "wrote %s\n" : "%s is not written\n", flags.out.c_str());
  }
  return trusted ? kOk : kFailed;
}

void AddObjectiveFlags(CLI::App* app, FitFlags& flags) {
  std::vector<std::string> names;
  for (const scaling::Law* law : scaling::AllLaws()) names.emplace_back(law->name());
  app->add_option(
         "--law", flags.law,
         absl::StrCat(absl::StrJoin(names, ", "), ", isoflop, envelope; by default by the columns"))
      ->type_name("LAW");
  app->add_option("--huber", flags.huber, "Huber's δ on residuals of ln L (0.001)")
      ->type_name("DELTA")
      ->check(CLI::Range(1e-6, 100.0));
  CLI::Option* squares = app->add_flag("--mse", flags.squares, "Squares of residuals of L instead");
  app->add_flag("--free-scale", flags.free_scale, "The Huber density with a scale that is fitted")
      ->excludes(squares);
  app->add_option("--bootstrap", flags.resamples, "Resamples for the intervals (4000)")
      ->type_name("COUNT")
      ->check(CLI::Range(0, 1'000'000));
  app->add_option("--resample", flags.resample,
                  "cases, runs (where --run tells them) or residuals; by default runs where one "
                  "has several rows, else cases")
      ->type_name("WHAT")
      ->check(CLI::IsMember({"cases", "runs", "residuals"}));
  app->add_option("--seed", flags.seed, "Of the resamples (1)");
  app->add_option("--threads", flags.threads, "For the resamples (all cores)")
      ->check(CLI::Range(1, 1024));
}

}  // namespace

void DeclareFit(const Declare& declare) {
  const auto flags = std::make_shared<FitFlags>();
  Declared& command = declare(
      "fit", "Fit a scaling law to runs, with intervals",
      "  longrun fit runs.csv --params N --tokens D --loss L --out fit.json\n"
      "  longrun fit runs.csv --params size:M --compute C:PF-days --loss bpt:bits\n"
      "  longrun fit chinchilla_figure4_points.csv --drop-highest 5 --budget 5.76e23\n"
      "  longrun fit runs.csv --plot fit.svg --panel line --panel isoflop\n"
      "  longrun fit runs.csv --where set=c4 --law power-compute --sensitivity\n\n"
      "Columns with usual names are found by themselves. A unit stands after the name: k, M, B, T, "
      "P,\nE, PF-days, bits or a factor. Of N, D and C two will do: C = 6·N·D. Exits with 1 where "
      "the law\ncannot be trusted, and says what to measure next; with 78 where the file is "
      "wrong.");
  command.words = CommandShape::Words::kFiles;
  command.act = [flags] { return FitCommand(*flags); };
  CLI::App* app = command.app;
  AddPointFlags(app, flags->points);
  AddObjectiveFlags(app, *flags);
  app->add_option("--budget", flags->budgets,
                  "Give the best sizes for this compute (ten times the largest run); may be "
                  "repeated")
      ->type_name("FLOP")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_flag("--sensitivity", flags->sensitivity,
                "Fit otherwise as well: δ, highest losses in and out, other parameter counts");
  app->add_option("--other-params", flags->other_params,
                  "For --sensitivity: parameters counted otherwise (without embeddings)")
      ->type_name("COLUMN[:UNIT]");
  app->add_option("--out", flags->out, "Keep the fit for predict, check and plan")
      ->type_name("FILE");
  AddPlotFlags(app, flags->plot, "line, isoflop, residuals, frontier");
  app->add_option("--reached", flags->reached,
                  "For --plot: a later run, its compute and loss; may be repeated")
      ->type_name("FLOP:LOSS")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_flag("--json", flags->json, "Answer with one JSON object");
}

}  // namespace longrun::cli
