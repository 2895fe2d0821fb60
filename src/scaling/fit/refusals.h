// When a fit is not to be trusted, and what to say then: judges the design of the experiment (which
// sizes were run) and the optimum. Any thread.
#pragma once

#include "scaling/fit/fit.h"
#include "scaling/fit/fit_problem.h"

namespace longrun::scaling {

// Adds refusals and warnings to `fit`, whose other fields are set. `x`: the optimum's coordinates.
void Judge(const FitProblem& problem, const Points& points, const Vector& x, Fit& fit);

}  // namespace longrun::scaling
