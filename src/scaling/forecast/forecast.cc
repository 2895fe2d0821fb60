#include "scaling/forecast/forecast.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "scaling/distributions.h"
#include "scaling/fit/bootstrap.h"

namespace longrun::scaling {
namespace {

constexpr double kFurthest =
    1e4;                          // times the largest run: as far as any law has been shown to hold
constexpr double kNotable = 1e3;  // beyond, a warning
constexpr double kSmallest = 10;  // times smaller than the smallest run
constexpr double kRatioReach = 10;  // times beyond the tokens per parameter fitted
constexpr double kMostForm = 0.1;   // another law further off than that is another claim
// Between the 10 % and the 90 % quantile of a standard normal: a spread that outliers among the
// resamples do not widen.
constexpr double kNormalTenToNinety = 2.5631031310892007;

bool Reads(const Law& law, Quantity quantity) {
  return std::find(law.reads().begin(), law.reads().end(), quantity) != law.reads().end();
}

absl::Status CheckSizes(const Law& law, const Point& point) {
  for (const Quantity quantity : law.reads()) {
    const double value = point.Get(quantity);
    if (std::isnan(value)) {
      return absl::InvalidArgumentError(absl::StrCat("the law ", std::string(law.formula()),
                                                     " needs --",
                                                     std::string(QuantityName(quantity))));
    }
    if (!(value > 0) || !std::isfinite(value)) {
      return absl::OutOfRangeError(absl::StrFormat("%s of %g: the law knows sizes above 0 alone",
                                                   std::string(QuantityName(quantity)), value));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckReach(const Forecast& forecast, const Point& point) {
  const double size = SizeOf(*forecast.law, point);
  if (size > kFurthest * forecast.most_compute * (1 + 1e-9)) {
    return absl::OutOfRangeError(absl::StrFormat(
        "%.3g FLOP is %.3g times the largest run fitted (%.3g); no law has been shown to hold "
        "beyond 10,000 times: fit runs of %.2g FLOP first",
        size, size / forecast.most_compute, forecast.most_compute, size / kFurthest));
  }
  if (size < forecast.least_compute / kSmallest) {
    return absl::OutOfRangeError(absl::StrFormat(
        "%.3g FLOP is more than 10 times below the smallest run fitted (%.3g); small runs leave "
        "the line: measure there",
        size, forecast.least_compute));
  }
  const double ratio = point.tokens / point.params;
  if (!(forecast.least_ratio > 0) || std::isnan(ratio)) return absl::OkStatus();
  if (ratio > forecast.most_ratio * kRatioReach || ratio < forecast.least_ratio / kRatioReach) {
    return absl::OutOfRangeError(absl::StrFormat(
        "%.3g tokens per parameter, where %.3g to %.3g were fitted; measure small runs with such a "
        "ratio first",
        ratio, forecast.least_ratio, forecast.most_ratio));
  }
  return absl::OkStatus();
}

std::vector<std::string> Warnings(const Forecast& forecast, const Point& point) {
  std::vector<std::string> warnings;
  const double times = SizeOf(*forecast.law, point) / forecast.most_compute;
  if (times > kNotable) {
    warnings.push_back(
        absl::StrFormat("%.0f times the largest run fitted: further than most laws were ever "
                        "checked",
                        times));
  }
  const double ratio = point.tokens / point.params;
  if (forecast.least_ratio > 0 && (ratio > forecast.most_ratio || ratio < forecast.least_ratio)) {
    warnings.push_back(
        absl::StrFormat("%.3g tokens per parameter lie outside those fitted, %.3g to %.3g", ratio,
                        forecast.least_ratio, forecast.most_ratio));
  }
  if (forecast.calibration_cuts == 0) {
    warnings.push_back(
        "too few runs to hold the larger ones out: the intervals could not be calibrated");
  }
  return warnings;
}

}  // namespace

double SizeOf(const Law& law, const Point& point) {
  if (point.compute > 0) return point.compute;
  if (point.params > 0 && point.tokens > 0) {
    return kFlopPerParamToken * point.params * point.tokens;
  }
  return point.Get(law.reads()[0]);
}

LossSpread SpreadAt(const Forecast& forecast, const Point& point) {
  LossSpread spread;
  spread.noise = forecast.noise;
  std::vector<double> logs;
  for (const Vector& parameters : forecast.draws) {
    const double log_loss = std::log(forecast.law->Loss(parameters, point));
    if (std::isfinite(log_loss)) logs.push_back(log_loss);
  }
  std::sort(logs.begin(), logs.end());
  if (logs.size() > 1) {
    spread.parameters = (Quantile(logs, 0.9) - Quantile(logs, 0.1)) / kNormalTenToNinety;
  }
  const double ours = std::log(forecast.law->Loss(forecast.parameters, point));
  double squares = 0;
  for (const AlternativeLaw& other : forecast.alternatives) {
    const double theirs = std::log(other.law->Loss(other.parameters, point));
    const double apart = std::min(kMostForm, std::abs(theirs - ours));
    if (std::isfinite(apart)) squares += apart * apart / forecast.alternatives.size();
  }
  spread.form = std::sqrt(squares);
  return spread;
}

double HalfWidth(const Forecast& forecast, const LossSpread& spread, double level) {
  return std::max(forecast.scores.Quantile(level) * spread.total(),
                  NormalQuantile((1 + level) / 2) * spread.noise);
}

double ProbabilityBeyond(const Forecast& forecast, const LossSpread& spread, double off) {
  const double within = forecast.scores.Below(std::abs(off) / spread.total());
  const double within_noise = 2 * NormalCdf(std::abs(off) / spread.noise) - 1;
  return 1 - std::min(within, within_noise);
}

absl::StatusOr<LossPrediction> Predict(const Forecast& forecast, Point point) {
  const Law& law = *forecast.law;
  if (Reads(law, Quantity::kParams) && std::isnan(point.params) && std::isnan(point.tokens) &&
      point.compute > 0) {
    const std::optional<Allocation> best = law.Optimal(forecast.parameters, point.compute);
    if (best) {
      point.params = best->params;
      point.tokens = best->tokens;
    }
  }
  Points one{point};
  FillByCompute(one);
  LossPrediction prediction;
  prediction.point = one[0];
  LR_RETURN_IF_ERROR(CheckSizes(law, prediction.point));
  LR_RETURN_IF_ERROR(CheckReach(forecast, prediction.point));
  prediction.loss = law.Loss(forecast.parameters, prediction.point);
  prediction.spread = SpreadAt(forecast, prediction.point);
  for (const double level : kForecastLevels) {
    const double half = HalfWidth(forecast, prediction.spread, level);
    prediction.ranges.push_back(
        {prediction.loss * std::exp(-half), prediction.loss * std::exp(half)});
  }
  prediction.orders_beyond = std::log10(SizeOf(law, prediction.point) / forecast.most_compute);
  prediction.warnings = Warnings(forecast, prediction.point);
  return prediction;
}

double ProbabilityBelow(const Forecast& forecast, const LossPrediction& prediction, double loss) {
  const double off = std::log(loss / prediction.loss);
  const double beyond = ProbabilityBeyond(forecast, prediction.spread, off);
  return off > 0 ? 1 - beyond / 2 : beyond / 2;
}

}  // namespace longrun::scaling
