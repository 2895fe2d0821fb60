#include "scaling/forecast/calibration.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "scaling/fit/bootstrap.h"

namespace longrun::scaling {
namespace {

// Shares of the runs, smallest first, that the inner cuts leave to the fit.
constexpr double kInnerShares[] = {0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
// All runs held out at one cut share the errors of one fit: together they count as this many, times
// the square of the share of the runs that the fit had. The more it had, the more it is like the
// fit that is asked.
constexpr double kCutWeight = 3;
// Another law counts as an alternative while its residuals are at most so many times ours.
constexpr double kAboutAsWell = 1.5;
constexpr double kWideDelta = 0.1;  // squares of all residuals but the wildest

absl::Status RefusalOf(const Fit& fit) {
  std::string text;
  for (const Refusal& refusal : fit.refusals) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", refusal.reason);
    if (!refusal.measure_next.empty()) absl::StrAppend(&text, " (", refusal.measure_next, ")");
  }
  return absl::FailedPreconditionError(absl::StrCat("the fit cannot be trusted: ", text));
}

void AddAlternative(const Law& law, const Fit& fit, const Points& points,
                    const Objective& objective, Forecast* forecast) {
  const absl::StatusOr<Fit> other = FitLaw(law, points, objective);
  if (!other.ok() || other->residual_rms > kAboutAsWell * fit.residual_rms) return;
  forecast->alternatives.push_back({&law, other->parameters});
}

// Laws of N and D with a loss that no scale removes; a law of one quantity has no rival here, so
// its own fit with large residuals counted in full takes the place.
void AddAlternatives(const Fit& fit, const Points& points, Forecast* forecast) {
  bool rivals = false;
  for (const char* name : {"chinchilla", "overtraining"}) {
    const absl::StatusOr<const Law*> law = FindLaw(name);
    LR_CHECK(law.ok());
    if ((*law)->reads() != fit.law->reads() || *law == fit.law) continue;
    rivals = true;
    AddAlternative(**law, fit, points, fit.objective, forecast);
  }
  if (rivals) return;
  Objective wide = fit.objective;
  wide.kind = Objective::Kind::kHuber;
  wide.delta = kWideDelta;
  AddAlternative(*fit.law, fit, points, wide, forecast);
}

void SetReach(const Law& law, const Points& points, Forecast* forecast) {
  forecast->least_compute = forecast->least_ratio = INFINITY;
  for (const Point& point : points) {
    const double size = SizeOf(law, point);
    forecast->least_compute = std::min(forecast->least_compute, size);
    forecast->most_compute = std::max(forecast->most_compute, size);
    const double ratio = point.tokens / point.params;
    forecast->least_ratio = std::min(forecast->least_ratio, ratio);
    forecast->most_ratio = std::max(forecast->most_ratio, ratio);
  }
  const bool known = std::isfinite(forecast->least_ratio) && std::isfinite(forecast->most_ratio);
  if (!known) forecast->least_ratio = forecast->most_ratio = 0;
}

// Fit, resamples and alternatives, the scores left empty.
absl::StatusOr<Forecast> Uncalibrated(const Fit& fit, const Points& points, int resamples,
                                      const CalibrationOptions& options) {
  if (!fit.trusted()) return RefusalOf(fit);
  BootstrapOptions bootstrap;
  bootstrap.kind =
      options.by_run ? BootstrapOptions::Kind::kClusters : BootstrapOptions::Kind::kCases;
  bootstrap.resamples = resamples;
  bootstrap.seed = options.seed;
  bootstrap.threads = options.threads;
  LR_ASSIGN_OR_RETURN(Bootstrap resampled, Resample(fit, points, bootstrap));
  Forecast forecast;
  forecast.law = fit.law;
  forecast.parameters = fit.parameters;
  forecast.draws = std::move(resampled.parameters);
  forecast.points = fit.points;
  const double freedom = std::max(1, fit.points - fit.law->parameter_count());
  forecast.noise = std::max(kLeastNoise, fit.residual_rms * std::sqrt(fit.points / freedom));
  AddAlternatives(fit, points, &forecast);
  SetReach(*fit.law, points, &forecast);
  return forecast;
}

// Scores of the runs above one cut, foretold from those below it. Cuts whose fit cannot be made or
// trusted say nothing.
void ScoreCut(const Law& law, const Split& split, const CalibrationOptions& options,
              Forecast* forecast) {
  const absl::StatusOr<Fit> fit = FitLaw(law, split.below, options.objective);
  if (!fit.ok()) return;
  const auto inner = Uncalibrated(*fit, split.below, options.cut_resamples, options);
  if (!inner.ok()) return;
  const double count = static_cast<double>(split.above.size());
  const double share = static_cast<double>(split.below.size()) / forecast->points;
  const double weight = std::min(count, kCutWeight) * share * share;
  for (const Point& point : split.above) {
    const double error = std::log(point.loss / law.Loss(inner->parameters, point));
    forecast->scores.Add(std::abs(error) / SpreadAt(*inner, point).total(), weight / count);
  }
  ++forecast->calibration_cuts;
}

void Calibrate(const Law& law, const Points& points, const CalibrationOptions& options,
               Forecast* forecast) {
  std::vector<double> sizes;
  for (const Point& point : points) sizes.push_back(SizeOf(law, point));
  std::sort(sizes.begin(), sizes.end());
  size_t last = 0;
  for (const double share : kInnerShares) {
    // Runs planned at one compute differ by rounding.
    const Split split = SplitBySize(law, points, 1.01 * Quantile(sizes, share));
    if (split.above.empty() || split.below.size() == last) continue;
    last = split.below.size();
    if (last < law.parameters().size() + 2) continue;
    ScoreCut(law, split, options, forecast);
  }
}

}  // namespace

Split SplitBySize(const Law& law, const Points& points, double size) {
  Split split;
  for (const Point& point : points) {
    (SizeOf(law, point) <= size ? split.below : split.above).push_back(point);
  }
  return split;
}

absl::StatusOr<Forecast> MakeForecast(const Law& law, const Points& points,
                                      const CalibrationOptions& options) {
  LR_ASSIGN_OR_RETURN(const Fit fit, FitLaw(law, points, options.objective));
  return MakeForecast(fit, points, options);
}

absl::StatusOr<Forecast> MakeForecast(const Fit& fit, const Points& points,
                                      const CalibrationOptions& options) {
  LR_ASSIGN_OR_RETURN(Forecast forecast, Uncalibrated(fit, points, options.resamples, options));
  if (options.calibrate) Calibrate(*fit.law, points, options, &forecast);
  return forecast;
}

}  // namespace longrun::scaling
