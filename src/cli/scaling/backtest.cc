// `longrun backtest`: would the forecasts have held? The runs above a ladder of compute cuts,
// foretold from those below.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/units.h"
#include "cli/declared.h"
#include "cli/exit_code.h"
#include "cli/scaling/points_input.h"
#include "scaling/forecast/backtest.h"

namespace longrun::cli {
namespace {

using Json = nlohmann::ordered_json;
using scaling::Backtest;
using scaling::BacktestCut;
using scaling::BacktestRun;

constexpr size_t k80 = 1;  // of scaling::kForecastLevels

struct BacktestFlags {
  PointFlags points;
  std::string law = "chinchilla";
  double huber = 1e-3;
  std::vector<std::string> cuts;  // as typed
  int resamples = 400;
  uint64_t seed = 1;
  bool uncalibrated = false;
  bool json = false;
};

struct Answer {
  PointsInput input;
  const scaling::Law* law = nullptr;
  Backtest backtest;
};

absl::StatusOr<Answer> MakeAnswer(const BacktestFlags& flags) {
  Answer answer;
  LR_ASSIGN_OR_RETURN(answer.law, scaling::FindLaw(flags.law));
  std::vector<double> cuts;
  for (const std::string& text : flags.cuts) {
    LR_ASSIGN_OR_RETURN(const double cut, ParseQuantity(text));
    cuts.push_back(cut);
  }
  std::sort(cuts.begin(), cuts.end());
  LR_ASSIGN_OR_RETURN(answer.input, LoadPoints(flags.points));
  scaling::CalibrationOptions options;
  options.objective.delta = flags.huber;
  options.resamples = flags.resamples;
  options.calibrate = !flags.uncalibrated;
  options.by_run = answer.input.has_runs;
  options.seed = flags.seed;
  options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  LR_ASSIGN_OR_RETURN(answer.backtest,
                      RunBacktest(*answer.law, answer.input.points, cuts, options));
  return answer;
}

double MedianWidth(const BacktestCut& cut) {
  std::vector<double> widths;
  for (const BacktestRun& run : cut.runs) widths.push_back(run.half_width80);
  std::sort(widths.begin(), widths.end());
  return widths.empty() ? 0 : widths[widths.size() / 2];
}

Json CoverageJson(const std::function<double(size_t)>& coverage) {
  Json json;
  for (size_t i = 0; i < scaling::kForecastLevels.size(); ++i) {
    json[absl::StrFormat("%.0f", 100 * scaling::kForecastLevels[i])] = coverage(i);
  }
  return json;
}

Json CutJson(const BacktestCut& cut) {
  if (!cut.refused.empty()) {
    return {{"cut", cut.cut}, {"fitted", cut.fitted}, {"refused", cut.refused}};
  }
  Json runs = Json::array();
  for (const BacktestRun& run : cut.runs) {
    runs.push_back({{"line", run.point.line},
                    {"compute", run.point.compute},
                    {"loss", run.point.loss},
                    {"foretold", run.foretold},
                    {"log_error", run.error},
                    {"orders_beyond", run.orders_beyond},
                    {"log_half_width80", run.half_width80}});
  }
  return {{"cut", cut.cut},
          {"fitted", cut.fitted},
          {"foretold", cut.runs.size()},
          {"median_error", cut.MedianError()},
          {"mean_error", cut.MeanError()},
          {"largest_error", cut.runs.back().error},
          {"coverage", CoverageJson([&cut](size_t i) { return cut.Coverage(i); })},
          {"runs", runs}};
}

void PrintJson(const Answer& answer) {
  const Backtest& backtest = answer.backtest;
  Json cuts = Json::array();
  for (const BacktestCut& cut : backtest.cuts) cuts.push_back(CutJson(cut));
  const Json json{
      {"law", std::string(answer.law->name())},
      {"data", {{"file", answer.input.source.file}, {"hash", answer.input.source.hash}}},
      {"points", answer.input.points.size()},
      {"forecasts", backtest.forecasts},
      {"median_error", backtest.MedianError()},
      {"largest_error", backtest.LargestError()},
      {"coverage", CoverageJson([&backtest](size_t i) { return backtest.Coverage(i); })},
      {"cuts", cuts}};
  std::printf("%s\n", json.dump().c_str());
}

void PrintText(const Answer& answer) {
  const Backtest& backtest = answer.backtest;
  std::printf("%s, %zu runs of %s\n\n", std::string(answer.law->formula()).c_str(),
              answer.input.points.size(), answer.input.source.file.c_str());
  std::printf("%9s %7s %9s %8s %8s %8s %9s %8s %16s\n", "CUT FLOP", "FITTED", "FORETOLD", "BEYOND",
              "MEDIAN", "MEAN", "LARGEST", "80 %", "HELD 50/80/95 %");
  for (const BacktestCut& cut : backtest.cuts) {
    if (!cut.refused.empty()) {
      std::printf("%9.2e %7d  %s\n", cut.cut, cut.fitted, cut.refused.substr(0, 90).c_str());
      continue;
    }
    // "±" has two bytes.
    std::printf("%9.2e %7d %9zu %7.1fx %7.2f%% %+7.2f%% %+8.2f%% %9s   %3.0f %3.0f %3.0f\n",
                cut.cut, cut.fitted, cut.runs.size(), std::pow(10, cut.runs.back().orders_beyond),
                100 * cut.MedianError(), 100 * cut.MeanError(), 100 * cut.runs.back().error,
                absl::StrFormat("±%.2f%%", 100 * MedianWidth(cut)).c_str(), 100 * cut.Coverage(0),
                100 * cut.Coverage(k80), 100 * cut.Coverage(2));
  }
  if (backtest.forecasts == 0) return;
  std::printf(
      "\n%d forecasts: median error %.2f %%, of the largest run %.2f %%; held by the 50 %% "
      "interval "
      "%.0f %%,\nby the 80 %% interval %.0f %%, by the 95 %% interval %.0f %%\n",
      backtest.forecasts, 100 * backtest.MedianError(), 100 * backtest.LargestError(),
      100 * backtest.Coverage(0), 100 * backtest.Coverage(k80), 100 * backtest.Coverage(2));
  std::printf(
      "errors are ln reached − ln foretold; above 0, runs came out worse. BEYOND: the largest run "
      "over the\nlargest fitted. Runs above one cut share its fit's error: read cuts, not runs, as "
      "the sample.\n");
}

int BacktestCommand(const BacktestFlags& flags) {
  const absl::StatusOr<Answer> answer = MakeAnswer(flags);
  if (!answer.ok()) {
    PrintError(answer.status());
    return ExitCodeOf(answer.status());
  }
  for (const std::string& warning : answer->input.warnings) {
    std::fprintf(stderr, "warning: %s\n", warning.c_str());
  }
  if (flags.json) {
    PrintJson(*answer);
  } else {
    PrintText(*answer);
  }
  if (answer->backtest.forecasts > 0) return kOk;
  std::fprintf(stderr, "longrun: at no cut can the law be trusted; longrun fit says why\n");
  return kFailed;
}

}  // namespace

void DeclareBacktest(const Declare& declare) {
  const auto flags = std::make_shared<BacktestFlags>();
  Declared& command = declare(
      "backtest", "Foretell the larger runs from the smaller ones, and see what held",
      "  longrun backtest runs.csv --params N --tokens D --loss L\n"
      "  longrun backtest runs.csv --cut 1e20 --cut 1e21 --json\n"
      "  longrun backtest runs.csv --uncalibrated          what the told error alone would hold\n\n"
      "At each cut everything is made from the runs below alone: the fit, its resamples, and the\n"
      "calibration (on the larger of those). Exits with 1 where no cut gives a law to trust.");
  command.words = CommandShape::Words::kFiles;
  command.act = [flags] { return BacktestCommand(*flags); };
  CLI::App* app = command.app;
  AddPointFlags(app, flags->points);
  app->add_option("--law", flags->law, "As for longrun fit (chinchilla)")->type_name("LAW");
  app->add_option("--huber", flags->huber, "Huber's δ on residuals of ln L (0.001)")
      ->type_name("DELTA")
      ->check(CLI::Range(1e-6, 100.0));
  app->add_option("--cut", flags->cuts, "Fit up to this compute; may be repeated (three a decade)")
      ->type_name("FLOP")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_option("--bootstrap", flags->resamples, "Resamples at each cut (400)")
      ->type_name("COUNT")
      ->check(CLI::Range(20, 1'000'000));
  app->add_option("--seed", flags->seed, "Of the resamples (1)");
  app->add_flag("--uncalibrated", flags->uncalibrated, "Without the calibration on held-out runs");
  app->add_flag("--json", flags->json, "Answer with one JSON object");
}

}  // namespace longrun::cli
