// Fits a law to points: the parameters, how well the data pin them down, and whether to trust them.
// Pure: no clock, no files; randomness from a seed. Any thread; a fit runs on the caller's.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/law.h"
#include "scaling/objective.h"
#include "scaling/points.h"

namespace longrun::scaling {

struct FitOptions {
  Objective objective;
};

// What the data say about the parameters, from the curvature at the optimum.
struct Conditioning {
  double condition = 0;  // of the Jacobian of ln L̂, columns scaled to length 1; 1 is best
  // In one standard deviation of the residuals, by Gauss and Newton; of the natural parameters.
  Vector standard_errors;
  // Names of the parameters that trade against each other; empty where the data separate them.
  std::vector<std::string> entangled;
};

// Why a fit is not to be used, and what would mend it.
struct Refusal {
  std::string reason;        // "alpha is at its bound, 0"
  std::string measure_next;  // "runs at three more sizes, …"
};

struct Fit {
  const Law* law = nullptr;
  Objective objective;
  Vector parameters;         // natural, in the order of law->parameters()
  double objective_sum = 0;  // Σ, as Objective::Kind states it
  double scale = 0;          // σ of kHuberDensity; 0 otherwise
  int points = 0;
  double residual_sd = 0;         // robust: 1.4826 · median |ln L − ln L̂|
  double residual_rms = 0;        // of ln L − ln L̂
  std::vector<double> residuals;  // ln L − ln L̂, in the order of the points
  Conditioning conditioning;
  std::vector<std::string> warnings;
  std::vector<Refusal> refusals;
  int starts = 0;       // begun from
  int starts_best = 0;  // that reached the best optimum

  // Where the fit was measured, for telling how far a prediction is from it.
  std::vector<double> lowest;  // of each quantity of law->reads()
  std::vector<double> highest;

  bool trusted() const { return refusals.empty(); }
  double Loss(const Point& point) const { return law->Loss(parameters, point); }
};

// An error where there is nothing to fit: fewer points than parameters, a point that lacks what the
// law reads, a loss that is not above 0. What could be fitted but not trusted is a Fit with
// refusals.
absl::StatusOr<Fit> FitLaw(const Law& law, const Points& points, const FitOptions& options);

}  // namespace longrun::scaling
