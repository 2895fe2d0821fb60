#include "cli/scaling/sweep_view.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/units.h"
#include "scaling/laws/law.h"

namespace longrun::cli {
namespace {

using Json = nlohmann::ordered_json;
using scaling::SweepDesign;
using scaling::SweepRun;

// Measured on models of 15,000 to 500,000 parameters on one core of a small cloud machine.
constexpr double kAssumedFlopPerSecond = 1.5e10;
constexpr double kAssumedStartSeconds = 2;

double AllSeconds(const SweepDesign& design, const RunTimes& times, int parallel) {
  double ladder = 0;
  for (const SweepRun& run : design.ladder) ladder += times.Seconds(run);
  return ladder / parallel + times.Seconds(design.target);
}

std::string Time(double seconds) { return FormatDuration(Duration::Seconds(seconds)); }

std::string RowText(const SweepRun& run, const std::string& last) {
  return absl::StrFormat("  %-28s %9s %9s %9.2e %9.2e  %s\n", run.name,
                         FormatQuantity(static_cast<double>(run.params)),
                         FormatQuantity(static_cast<double>(run.tokens)), run.compute,
                         run.learning_rate, last);
}

std::string HeadText(const std::string& last) {
  return absl::StrFormat("  %-28s %9s %9s %9s %9s  %s\n", "RUN", "PARAMS", "TOKENS", "FLOP", "LR",
                         last);
}

Json RunJson(const SweepRun& run) {
  return {{"run", run.name},
          {"layers", run.shape.layers},
          {"heads", run.shape.heads},
          {"d_model", run.shape.d_model},
          {"params", run.params},
          {"tokens", run.tokens},
          {"compute", run.compute},
          {"steps", run.steps},
          {"learning_rate", run.learning_rate},
          {"seed", run.seed}};
}

Json RangesJson(const scaling::LossPrediction& prediction) {
  Json intervals;
  for (size_t i = 0; i < prediction.ranges.size(); ++i) {
    intervals[absl::StrCat(std::lround(100 * scaling::kForecastLevels[i]))] =
        Json::array({prediction.ranges[i].lo, prediction.ranges[i].hi});
  }
  return intervals;
}

Json ParametersJson(const scaling::Forecast& forecast) {
  Json parameters;
  for (size_t i = 0; i < forecast.law->parameters().size(); ++i) {
    parameters[forecast.law->parameters()[i].name] =
        forecast.parameters[static_cast<Eigen::Index>(i)];
  }
  return parameters;
}

Json InsideJson(const SweepOutcome& outcome) {
  Json inside;
  const auto& ranges = outcome.registration.prediction.ranges;
  for (size_t i = 0; i < ranges.size(); ++i) {
    inside[absl::StrCat(std::lround(100 * scaling::kForecastLevels[i]))] =
        ranges[i].Contains(outcome.target.loss);
  }
  return inside;
}

}  // namespace

double RunTimes::Assumed(const SweepRun& run) const {
  return kAssumedStartSeconds + run.compute / (kAssumedFlopPerSecond * threads_);
}

void RunTimes::Measured(const SweepRun& run, double seconds) {
  measured_ += seconds;
  assumed_ += Assumed(run);
}

double RunTimes::Seconds(const SweepRun& run) const {
  return Assumed(run) * (assumed_ > 0 ? measured_ / assumed_ : 1);
}

double SweepOutcome::error() const { return target.loss / registration.prediction.loss - 1; }

std::string PlanText(const scaling::SweepConfig& config, const SweepDesign& design,
                     const RunTimes& times, int parallel) {
  std::string out = absl::StrFormat(
      "%s, seed %d: a ladder of %d runs, %.3g FLOP, %d at once; the target is %.1f times the "
      "largest\n\n",
      config.name, config.seed, design.ladder.size(), design.ladder_compute, parallel,
      design.gap());
  absl::StrAppend(&out, HeadText("ABOUT"));
  for (const SweepRun& run : design.ladder) {
    absl::StrAppend(&out, RowText(run, Time(times.Seconds(run))));
  }
  absl::StrAppend(&out, "target\n", RowText(design.target, Time(times.Seconds(design.target))));
  if (!design.left_out.empty()) {
    absl::StrAppend(&out, "left out, beyond the budget: ", absl::StrJoin(design.left_out, ", "),
                    "\n");
  }
  absl::StrAppendFormat(&out, "\nabout %s in all, by %.1e FLOP a second and core; the law: %s\n",
                        Time(AllSeconds(design, times, parallel)), kAssumedFlopPerSecond,
                        config.law);
  return out;
}

Json PlanJson(const scaling::SweepConfig& config, const SweepDesign& design, const RunTimes& times,
              int parallel) {
  Json ladder = Json::array();
  for (const SweepRun& run : design.ladder) ladder.push_back(RunJson(run));
  return {{"name", config.name},
          {"seed", config.seed},
          {"law", config.law},
          {"ladder", ladder},
          {"target", RunJson(design.target)},
          {"left_out", design.left_out},
          {"ladder_compute", design.ladder_compute},
          {"gap", design.gap()},
          {"parallel", parallel},
          {"about_seconds", AllSeconds(design, times, parallel)}};
}

std::string PredictionLine(const scaling::Registration& registration) {
  const scaling::LossPrediction& prediction = registration.prediction;
  std::string out = absl::StrFormat("predicted %.4f", prediction.loss);
  for (size_t i = 0; i < prediction.ranges.size(); ++i) {
    absl::StrAppendFormat(&out, ", %.0f %%: %.4f to %.4f", 100 * scaling::kForecastLevels[i],
                          prediction.ranges[i].lo, prediction.ranges[i].hi);
  }
  return out;
}

std::string ReportText(const SweepOutcome& outcome) {
  const scaling::Registration& registration = outcome.registration;
  const scaling::Forecast& forecast = registration.forecast;
  std::string out = absl::StrFormat("%s, seed %d\n\n", outcome.config.name, outcome.config.seed);
  absl::StrAppend(&out, HeadText("LOSS (foretold by the law)"));
  for (const SweepRun& run : outcome.design.ladder) {
    const double loss = outcome.results.at(run.name).loss;
    const double fitted = forecast.law->Loss(forecast.parameters, run.ToPoint(loss));
    absl::StrAppend(&out, RowText(run, absl::StrFormat("%.4f  (%.4f)", loss, fitted)));
  }
  absl::StrAppend(&out, "\n", std::string(forecast.law->formula()), ":");
  for (size_t i = 0; i < forecast.law->parameters().size(); ++i) {
    absl::StrAppendFormat(&out, "%s %s = %.5g", i == 0 ? "" : ",",
                          forecast.law->parameters()[i].name,
                          forecast.parameters[static_cast<Eigen::Index>(i)]);
  }
  absl::StrAppend(&out, "\n\ntarget\n",
                  RowText(outcome.design.target, absl::StrFormat("%.4f", outcome.target.loss)));
  absl::StrAppendFormat(&out, "\n%s\n  registered %s, before the run began, from data %s\n",
                        PredictionLine(registration), registration.registered,
                        registration.source.hash);
  const bool inside = registration.prediction.ranges[1].Contains(outcome.target.loss);
  absl::StrAppendFormat(
      &out, "reached %.4f: %+.2f %% of what was predicted, %s the 80 %% interval; %.1f times %s\n",
      outcome.target.loss, 100 * outcome.error(), inside ? "inside" : "OUTSIDE",
      outcome.design.gap(), "the compute of the largest run fitted");
  return out;
}

Json ReportJson(const SweepOutcome& outcome) {
  const scaling::Registration& registration = outcome.registration;
  const scaling::LossPrediction& prediction = registration.prediction;
  Json ladder = Json::array();
  double seconds = outcome.target.seconds;
  for (const SweepRun& run : outcome.design.ladder) {
    const SweepResult& result = outcome.results.at(run.name);
    Json row = RunJson(run);
    row["loss"] = result.loss;
    row["seconds"] = result.seconds;
    seconds += result.seconds;
    ladder.push_back(row);
  }
  Json target = RunJson(outcome.design.target);
  target["seconds"] = outcome.target.seconds;
  return {{"name", outcome.config.name},
          {"seed", outcome.config.seed},
          {"ladder", ladder},
          {"law", std::string(registration.forecast.law->name())},
          {"parameters", ParametersJson(registration.forecast)},
          {"target", target},
          {"gap", outcome.design.gap()},
          {"predicted", prediction.loss},
          {"intervals", RangesJson(prediction)},
          {"spread",
           {{"parameters", prediction.spread.parameters},
            {"noise", prediction.spread.noise},
            {"form", prediction.spread.form},
            {"calibration_cuts", registration.forecast.calibration_cuts}}},
          {"registered", registration.registered},
          {"data_hash", registration.source.hash},
          {"reached", outcome.target.loss},
          {"error_percent", 100 * outcome.error()},
          {"inside", InsideJson(outcome)},
          {"warnings", prediction.warnings},
          {"run_seconds", seconds},
          {"wall_seconds", outcome.wall_seconds}};
}

}  // namespace longrun::cli
