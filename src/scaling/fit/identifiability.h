// How well the data pin down each parameter, from the Jacobian of ln L̂ at the optimum, and which
// further runs would help most. Any thread.
#pragma once

#include <string>
#include <vector>

#include "scaling/fit/fit_problem.h"

namespace longrun::scaling {

struct Identifiability {
  // Of the Jacobian by coordinates, each column scaled to length 1: 1 is best; a rounding of the
  // data is magnified by at most this.
  double condition = 0;
  Vector standard_errors;  // of the natural parameters, by Gauss and Newton from the residuals
  Vector relative_errors;  // of the exponents' magnitudes: their standard error over themselves;
                           // 0 for the other parameters
  // The parameters that trade against each other in the direction that the data show least.
  std::vector<std::string> weakest;
};

// Two runs that differ by their seed alone differ by about this in ln L, however well a law runs
// through a handful of points. (Reported spreads between seeds go up to 0.035.)
inline constexpr double kLeastNoise = 0.002;

// `noise`: the standard deviation of ln L about the law.
Identifiability Identify(const FitProblem& problem, const Vector& x, double noise);

struct NextRun {
  Point point;
  double error_before = 0;  // standard error of the parameter, relative to itself
  double error_after = 0;   // with this run and those before it
};

// The runs that would pin down natural parameter `parameter` best, one after the other, each within
// a factor 10 of the sizes measured and no dearer than the dearest run so far.
std::vector<NextRun> RunsToPin(const FitProblem& problem, const Points& points, const Vector& x,
                               int parameter, double noise, int count);

}  // namespace longrun::scaling
