#include "scaling/fit/bootstrap.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/random.h"
#include "scaling/fit/fit_problem.h"
#include "scaling/fit/solve.h"

namespace longrun::scaling {
namespace {

using Kind = BootstrapOptions::Kind;

// What every resample is drawn from.
struct Source {
  const FitProblem& problem;
  std::vector<std::vector<int>> clusters;  // points by run; of kClusters alone
  std::vector<double> predicted;           // ln L̂; of kResiduals alone
  std::vector<double> noise;               // centred, and widened for what the fit took up
};

std::vector<std::vector<int>> PointsByRun(const Points& points) {
  std::map<int, std::vector<int>> runs;
  for (size_t i = 0; i < points.size(); ++i) runs[points[i].run].push_back(static_cast<int>(i));
  std::vector<std::vector<int>> out;
  for (auto& [run, members] : runs) out.push_back(std::move(members));
  return out;
}

FitProblem Draw(const Source& source, Kind kind, Random& random) {
  const FitProblem& problem = source.problem;
  const uint64_t size = static_cast<uint64_t>(problem.size());
  if (kind == Kind::kResiduals) {
    std::vector<double> losses = source.predicted;
    for (double& loss : losses) loss += source.noise[random.Below(size)];
    return problem.WithLosses(losses);
  }
  std::vector<int> counts(problem.size(), 0);
  if (kind == Kind::kCases) {
    for (uint64_t i = 0; i < size; ++i) ++counts[random.Below(size)];
  } else {
    for (size_t i = 0; i < source.clusters.size(); ++i) {
      for (const int point : source.clusters[random.Below(source.clusters.size())]) {
        ++counts[point];
      }
    }
  }
  return problem.Resampled(counts);
}

Source MakeSource(const FitProblem& problem, const Fit& fit, const Points& points, const Vector& x,
                  Kind kind) {
  Source source{problem, {}, {}, {}};
  if (kind == Kind::kClusters) source.clusters = PointsByRun(points);
  if (kind == Kind::kResiduals) {
    double mean = 0;
    for (const double r : fit.residuals) mean += r / fit.points;
    const double freedom = std::max(1, fit.points - fit.law->parameter_count());
    const double widening = std::sqrt(fit.points / freedom);
    for (int i = 0; i < problem.size(); ++i) {
      source.predicted.push_back(problem.LogPrediction(i, x));
      source.noise.push_back((fit.residuals[i] - mean) * widening);
    }
  }
  return source;
}

bool ExponentAtBound(const Law& law, const Bounds& box, const Vector& x) {
  for (const int e : law.exponents()) {
    if (x[e] <= box.lower[e] + 1e-9 || x[e] >= box.upper[e] - 1e-9) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<Bootstrap> Resample(const Fit& fit, const Points& points,
                                   const BootstrapOptions& options) {
  LR_CHECK_EQ(points.size(), fit.residuals.size());
  LR_CHECK_GT(options.threads, 0);
  const FitProblem problem(*fit.law, points);
  const Vector x = fit.law->FromNatural(fit.parameters, problem.centre());
  const Source source = MakeSource(problem, fit, points, x, options.kind);
  const size_t runs = source.clusters.size();
  if (options.kind == Kind::kClusters && runs <= fit.law->parameters().size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(runs, " runs are too few to be resampled as wholes; the law has ",
                     fit.law->parameter_count(), " parameters"));
  }
  Bootstrap out;
  out.kind = options.kind;
  out.seed = options.seed;
  out.parameters.resize(options.resamples);
  const Bounds box = fit.law->Box(problem.loss_range());
  std::atomic<int> next{0};
  std::atomic<int> at_bound{0};
  const auto work = [&] {
    for (int i = next++; i < options.resamples; i = next++) {
      Random random(Mix64(options.seed) ^ Mix64(static_cast<uint64_t>(i) + 1));
      const FitProblem drawn = Draw(source, options.kind, random);
      const Solution solution = SolveFrom(drawn, fit.objective, x);
      out.parameters[i] = fit.law->ToNatural(solution.x, problem.centre());
      if (ExponentAtBound(*fit.law, box, solution.x)) ++at_bound;
    }
  };
  std::vector<std::thread> helpers;
  for (int i = 1; i < options.threads; ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
  out.at_bound = at_bound;
  return out;
}

double Quantile(const std::vector<double>& ascending, double p) {
  LR_CHECK(!ascending.empty());
  const double at = p * static_cast<double>(ascending.size() - 1);
  const size_t below = static_cast<size_t>(at);
  if (below + 1 >= ascending.size()) return ascending.back();
  const double part = at - static_cast<double>(below);
  return ascending[below] + part * (ascending[below + 1] - ascending[below]);
}

std::vector<Interval> Intervals(std::vector<double> values) {
  std::erase_if(values, [](double v) { return !std::isfinite(v); });
  std::sort(values.begin(), values.end());
  std::vector<Interval> out;
  if (values.empty()) return out;
  for (const double level : kIntervalLevels) {
    out.push_back({level, Quantile(values, (1 - level) / 2), Quantile(values, (1 + level) / 2)});
  }
  return out;
}

double StandardDeviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  double mean = 0;
  for (const double v : values) mean += v / static_cast<double>(values.size());
  double squares = 0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

std::vector<double> Spread(const Bootstrap& bootstrap, int index) {
  std::vector<double> out;
  for (const Vector& parameters : bootstrap.parameters) out.push_back(parameters[index]);
  return out;
}

}  // namespace longrun::scaling
