// The best optimum of a FitProblem: from many starts, smooth first, then with δ lowered step by
// step to the one asked for. Deterministic. Any thread.
#pragma once

#include "scaling/fit/fit_problem.h"

namespace longrun::scaling {

struct Solution {
  Vector x;                  // coordinates
  double objective_sum = 0;  // as Objective::Kind states it
  double scale = 0;          // σ of kHuberDensity; 0 otherwise
  int starts = 0;            // begun from
  int starts_best = 0;       // that reached the best optimum
};

// From the law's own starts, and around the best of what they reach.
Solution SolveGlobally(const FitProblem& problem, const Objective& objective);

// From one start that is near: how a resample is refitted from the whole data's optimum.
Solution SolveFrom(const FitProblem& problem, const Objective& objective, const Vector& start);

}  // namespace longrun::scaling
