#include "scaling/fit/fit.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "scaling/fit/fit_problem.h"
#include "scaling/fit/refusals.h"
#include "scaling/fit/solve.h"

namespace longrun::scaling {
namespace {

std::string Where(const Point& point, size_t index) {
  return point.line > 0 ? absl::StrCat("line ", point.line) : absl::StrCat("point ", index + 1);
}

// 1.4826 · median of |r|: the standard deviation, were the residuals normal.
double RobustDeviation(std::vector<double> residuals) {
  for (double& r : residuals) r = std::abs(r);
  const auto middle = residuals.begin() + static_cast<int64_t>(residuals.size() / 2);
  std::nth_element(residuals.begin(), middle, residuals.end());
  return 1.4826 * *middle;
}

}  // namespace

double Fit::Get(const std::string& parameter) const {
  for (size_t i = 0; i < law->parameters().size(); ++i) {
    if (law->parameters()[i].name == parameter) return parameters[static_cast<int>(i)];
  }
  LR_CHECK(false);
}

double NoiseOf(const Fit& fit) {
  const double freedom = std::max(1, fit.points - fit.law->parameter_count());
  return std::max(fit.residual_sd * std::sqrt(fit.points / freedom), kLeastNoise);
}

absl::Status CheckPoints(const Law& law, const Points& points) {
  for (size_t i = 0; i < points.size(); ++i) {
    const Point& point = points[i];
    for (const Quantity quantity : law.reads()) {
      const double value = point.Get(quantity);
      if (std::isfinite(value) && value > 0) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(Where(point, i), ": ", std::string(QuantityName(quantity)),
                       std::isnan(value) ? std::string(" is not known, and the law needs it")
                                         : absl::StrCat(" is ", value, "; above 0 is right")));
    }
    if (!std::isfinite(point.loss) || point.loss <= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(Where(point, i), ": the loss is ", point.loss, "; above 0 is right"));
    }
  }
  const size_t needed = law.parameters().size();
  if (points.size() >= needed) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(points.size(), points.size() == 1 ? " point" : " points",
                   " cannot determine the ", needed, " parameters of ", std::string(law.formula()),
                   "; measure at least ", needed + 1, ", better ", 2 * needed));
}

absl::StatusOr<Fit> FitLaw(const Law& law, const Points& points, const Objective& objective) {
  LR_RETURN_IF_ERROR(CheckPoints(law, points));
  const FitProblem problem(law, points);
  const Solution solution = SolveGlobally(problem, objective);
  Fit fit;
  fit.law = &law;
  fit.objective = objective;
  fit.parameters = law.ToNatural(solution.x, problem.centre());
  fit.objective_sum = solution.objective_sum;
  fit.scale = solution.scale;
  fit.starts = solution.starts;
  fit.starts_best = solution.starts_best;
  fit.points = static_cast<int>(points.size());
  double squares = 0;
  for (const double r : problem.Residuals(solution.x)) {
    fit.residuals.push_back(-r);
    squares += r * r;
  }
  fit.residual_sd = RobustDeviation(fit.residuals);
  fit.residual_rms = std::sqrt(squares / fit.points);
  for (const Quantity quantity : law.reads()) {
    double lo = points[0].Get(quantity);
    double hi = lo;
    for (const Point& point : points) {
      lo = std::min(lo, point.Get(quantity));
      hi = std::max(hi, point.Get(quantity));
    }
    fit.lowest.push_back(lo);
    fit.highest.push_back(hi);
  }
  fit.identifiability = Identify(problem, solution.x, NoiseOf(fit));
  Judge(problem, points, solution.x, fit);
  return fit;
}

}  // namespace longrun::scaling
