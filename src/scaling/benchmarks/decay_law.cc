#include "scaling/benchmarks/decay_law.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "scaling/distributions.h"

namespace longrun::scaling {
namespace {

struct LogPoint {
  double x = 0;
  double y = 0;
  double variance = 0;
};

struct Line {
  double centre = 0;
  double intercept = 0;
  double slope = 0;
  double weight = 0;         // Σ w
  double spread = 0;         // Σ w (x − centre)²
  double misfit = 0;         // Σ w (y − line)²
  double trace_removed = 0;  // tr of the hat matrix with w² in place of w: DerSimonian–Laird's
};

Line FitLine(const std::vector<LogPoint>& points, double extra_variance) {
  Line line;
  for (const LogPoint& point : points) {
    const double w = 1 / (point.variance + extra_variance);
    line.weight += w;
    line.centre += w * point.x;
    line.intercept += w * point.y;
  }
  line.centre /= line.weight;
  line.intercept /= line.weight;
  double covariance = 0;
  for (const LogPoint& point : points) {
    const double w = 1 / (point.variance + extra_variance);
    line.spread += w * (point.x - line.centre) * (point.x - line.centre);
    covariance += w * (point.x - line.centre) * point.y;
  }
  line.slope = covariance / line.spread;
  for (const LogPoint& point : points) {
    const double w = 1 / (point.variance + extra_variance);
    const double dx = point.x - line.centre;
    const double residual = point.y - line.intercept - line.slope * dx;
    line.misfit += w * residual * residual;
    line.trace_removed += w * w * (1 / line.weight + dx * dx / line.spread);
  }
  return line;
}

// τ² so that the misfit is what it is expected to be; 0 when sampling error alone explains it.
double ExtraVariance(const std::vector<LogPoint>& points) {
  const Line line = FitLine(points, 0);
  const double dof = static_cast<double>(points.size()) - 2;
  return std::max(0.0, (line.misfit - dof) / (line.weight - line.trace_removed));
}

absl::StatusOr<std::vector<LogPoint>> LogPoints(const std::vector<DecayPoint>& points) {
  std::vector<LogPoint> logs;
  std::set<double> computes;
  for (const DecayPoint& point : points) {
    LR_CHECK(point.compute_flop > 0 && point.standard_error >= 0);
    if (!(point.value > 0) || !std::isfinite(point.value)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("the value at %.4g FLOP is %g: a power law knows positive ones alone",
                          point.compute_flop, point.value));
    }
    computes.insert(point.compute_flop);
    // A mean known to six digits or better weighs as if known to six.
    const double relative = std::max(1e-6, point.standard_error / point.value);
    logs.push_back({std::log(point.compute_flop), std::log(point.value), relative * relative});
  }
  if (computes.size() < 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("models of ", computes.size(),
                     " different computes; a power law and its error need 3 at least"));
  }
  return logs;
}

}  // namespace

absl::StatusOr<DecayLaw> DecayLaw::Fit(const std::vector<DecayPoint>& points) {
  LR_ASSIGN_OR_RETURN(const std::vector<LogPoint> logs, LogPoints(points));
  const double extra = ExtraVariance(logs);
  const Line line = FitLine(logs, extra);
  DecayLaw law;
  law.dof_ = static_cast<int>(logs.size()) - 2;
  law.centre_ = line.centre;
  law.intercept_ = line.intercept;
  law.slope_ = line.slope;
  law.intercept_variance_ = 1 / line.weight;
  law.slope_variance_ = 1 / line.spread;
  law.misfit_ = line.misfit / law.dof_;
  law.tau_ = std::sqrt(extra);
  for (const DecayPoint& point : points) law.largest_ = std::max(law.largest_, point.compute_flop);
  return law;
}

double DecayLaw::LineVariance(double x) const {
  const double dx = x - centre_;
  return intercept_variance_ + dx * dx * slope_variance_;
}

double DecayLaw::HalfWidth(double variance, double level) const {
  const double tail = (1 + level) / 2;
  return std::sqrt(variance) *
         std::max(StudentTQuantile(tail, dof_) * std::sqrt(misfit_), NormalQuantile(tail));
}

double DecayLaw::alpha() const { return std::exp(intercept_ - slope_ * centre_); }

Range DecayLaw::AlphaInterval(double level) const {
  const double half = HalfWidth(LineVariance(0), level);
  return {alpha() * std::exp(-half), alpha() * std::exp(half)};
}

Range DecayLaw::KInterval(double level) const {
  const double half = HalfWidth(slope_variance_, level);
  return {k() - half, k() + half};
}

double DecayLaw::At(double compute_flop) const {
  LR_CHECK(compute_flop > 0);
  return std::exp(intercept_ + slope_ * (std::log(compute_flop) - centre_));
}

Range DecayLaw::PredictionInterval(double compute_flop, double level) const {
  const double half = HalfWidth(LineVariance(std::log(compute_flop)) + tau_ * tau_, level);
  return {At(compute_flop) * std::exp(-half), At(compute_flop) * std::exp(half)};
}

}  // namespace longrun::scaling
