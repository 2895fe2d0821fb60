#include "scaling/forecast/backtest.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "scaling/fit/bootstrap.h"

namespace longrun::scaling {
namespace {

constexpr size_t kLeastSpare = 4;  // runs fitted beyond the law's parameters

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return Quantile(values, 0.5);
}

double CoverageOf(const std::vector<const BacktestRun*>& runs, size_t level) {
  double held = 0;
  for (const BacktestRun* run : runs) held += run->held[level];
  return runs.empty() ? 0 : held / static_cast<double>(runs.size());
}

std::vector<double> Ladder(const Law& law, const Points& points) {
  std::vector<double> sizes;
  for (const Point& point : points) sizes.push_back(SizeOf(law, point));
  std::sort(sizes.begin(), sizes.end());
  const size_t least = law.parameters().size() + kLeastSpare;
  std::vector<double> cuts;
  if (sizes.size() <= least) return cuts;
  // The third-decade above the run that makes the fit possible, and on.
  for (double k = std::ceil(3 * std::log10(sizes[least - 1])); std::pow(10, k / 3) < sizes.back();
       ++k) {
    cuts.push_back(std::pow(10, k / 3));
  }
  return cuts;
}

BacktestCut RunCut(const Law& law, const Points& points, double cut,
                   const CalibrationOptions& options) {
  BacktestCut result;
  result.cut = cut;
  Split split = SplitBySize(law, points, cut);
  result.fitted = static_cast<int>(split.below.size());
  const absl::StatusOr<Forecast> forecast = MakeForecast(law, split.below, options);
  if (!forecast.ok()) {
    result.refused = std::string(forecast.status().message());
    return result;
  }
  std::sort(split.above.begin(), split.above.end(),
            [&law](const Point& a, const Point& b) { return SizeOf(law, a) < SizeOf(law, b); });
  for (const Point& point : split.above) {
    BacktestRun run;
    run.point = point;
    run.foretold = law.Loss(forecast->parameters, point);
    run.error = std::log(point.loss / run.foretold);
    run.orders_beyond = std::log10(SizeOf(law, point) / forecast->most_compute);
    const LossSpread spread = SpreadAt(*forecast, point);
    for (const double level : kForecastLevels) {
      const double half = HalfWidth(*forecast, spread, level);
      run.held.push_back(std::abs(run.error) <= half);
      if (level == 0.8) run.half_width80 = half;
    }
    result.runs.push_back(std::move(run));
  }
  return result;
}

std::vector<const BacktestRun*> AllRuns(const Backtest& backtest) {
  std::vector<const BacktestRun*> runs;
  for (const BacktestCut& cut : backtest.cuts) {
    for (const BacktestRun& run : cut.runs) runs.push_back(&run);
  }
  return runs;
}

}  // namespace

double BacktestCut::MedianError() const {
  std::vector<double> errors;
  for (const BacktestRun& run : runs) errors.push_back(std::abs(run.error));
  return Median(std::move(errors));
}

double BacktestCut::MeanError() const {
  double sum = 0;
  for (const BacktestRun& run : runs) sum += run.error;
  return runs.empty() ? 0 : sum / static_cast<double>(runs.size());
}

double BacktestCut::Coverage(size_t level) const {
  std::vector<const BacktestRun*> all;
  for (const BacktestRun& run : runs) all.push_back(&run);
  return CoverageOf(all, level);
}

double Backtest::MedianError() const {
  std::vector<double> errors;
  for (const BacktestRun* run : AllRuns(*this)) errors.push_back(std::abs(run->error));
  return Median(std::move(errors));
}

double Backtest::Coverage(size_t level) const { return CoverageOf(AllRuns(*this), level); }

double Backtest::LargestError() const {
  double sum = 0;
  int count = 0;
  for (const BacktestCut& cut : cuts) {
    if (cut.runs.empty()) continue;
    sum += std::abs(cut.runs.back().error);
    ++count;
  }
  return count == 0 ? 0 : sum / count;
}

absl::StatusOr<Backtest> RunBacktest(const Law& law, const Points& points,
                                     const std::vector<double>& cuts,
                                     const CalibrationOptions& options) {
  LR_RETURN_IF_ERROR(CheckPoints(law, points));
  Backtest backtest;
  size_t last = 0;
  for (const double cut : cuts.empty() ? Ladder(law, points) : cuts) {
    const Split split = SplitBySize(law, points, cut);
    if (split.above.empty() || split.below.empty() || split.below.size() == last) continue;
    last = split.below.size();
    backtest.cuts.push_back(RunCut(law, points, cut, options));
    backtest.forecasts += static_cast<int>(backtest.cuts.back().runs.size());
  }
  if (!backtest.cuts.empty()) return backtest;
  return absl::InvalidArgumentError(
      absl::StrCat(points.size(), " runs: no cut leaves ", law.parameters().size() + kLeastSpare,
                   " below it and one above; measure runs of more different computes"));
}

}  // namespace longrun::scaling
