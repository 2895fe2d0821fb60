// Fits a law to points: the parameters, how well the data pin them down, and whether to trust them.
// Pure: no clock, no files; the same input gives the same bits. Any thread; a fit runs on the
// caller's.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/fit/identifiability.h"
#include "scaling/fit/objective.h"
#include "scaling/laws/law.h"
#include "scaling/runs/points.h"

namespace longrun::scaling {

// Why a fit is not to be used, and what would mend it.
struct Refusal {
  std::string reason;        // "alpha is at its bound, 0.005"
  std::string measure_next;  // "runs at three more sizes, …"
};

struct Fit {
  const Law* law = nullptr;
  Objective objective;
  Vector parameters;         // natural, in the order of law->parameters()
  double objective_sum = 0;  // Σ, as Objective::Kind states it
  double scale = 0;          // σ of kHuberDensity; 0 otherwise
  int points = 0;
  std::vector<double> residuals;  // ln L − ln L̂, in the order of the points
  double residual_sd = 0;         // of them, robust: 1.4826 · median of the absolute values
  double residual_rms = 0;
  Identifiability identifiability;
  std::vector<std::string> warnings;
  std::vector<Refusal> refusals;
  int starts = 0;       // begun from
  int starts_best = 0;  // that reached the best optimum

  // Between which sizes it was measured: of each quantity of law->reads().
  std::vector<double> lowest;
  std::vector<double> highest;

  bool trusted() const { return refusals.empty(); }
  double Loss(const Point& point) const { return law->Loss(parameters, point); }
  double Get(const std::string& parameter) const;  // a parameter of the law, by name
};

// The standard deviation of ln L about the law: the robust one of the residuals, widened for what
// the fit took up; at least kLeastNoise.
double NoiseOf(const Fit& fit);

// An error where there is nothing to fit: fewer points than parameters, a point that lacks what the
// law reads or has a value that is not above 0. What could be fitted but not trusted is a Fit with
// refusals.
absl::StatusOr<Fit> FitLaw(const Law& law, const Points& points, const Objective& objective);

// OK when every point has what the law reads, finite and above 0, and there are enough of them.
absl::Status CheckPoints(const Law& law, const Points& points);

}  // namespace longrun::scaling
