// The compute-optimal sizes that a fit foretells, and how well its resamples know them. Any thread.
#pragma once

#include <optional>
#include <vector>

#include "scaling/fit/bootstrap.h"
#include "scaling/fit/fit.h"

namespace longrun::scaling {

struct OptimumEstimate {
  Allocation best;
  // Over the resamples; empty where there are none. Of the parameters alone: see predict for the
  // loss.
  std::vector<Interval> params;
  std::vector<Interval> tokens;
  std::vector<Interval> tokens_per_param;
  std::vector<Interval> loss;
};

// Nothing for laws that do not part parameters and tokens.
std::optional<OptimumEstimate> EstimateOptimum(const Fit& fit, const Bootstrap& bootstrap,
                                               double compute_flop);

// The exponent a of N_opt ∝ C^a, with intervals: β/(α+β) for Chinchilla's form.
struct ExponentEstimate {
  double value = 0;
  double standard_error = 0;
  std::vector<Interval> intervals;
};
std::optional<ExponentEstimate> EstimateGrowth(const Fit& fit, const Bootstrap& bootstrap);

}  // namespace longrun::scaling
