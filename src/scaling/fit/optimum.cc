#include "scaling/fit/optimum.h"

#include <cmath>

namespace longrun::scaling {
namespace {

// d ln N_opt / d ln C, which the laws here have the same at every compute.
double Growth(const Law& law, const Vector& natural) {
  const double at = 1e21;
  return std::log(law.Optimal(natural, 10 * at)->params / law.Optimal(natural, at)->params) /
         std::log(10.0);
}

}  // namespace

std::optional<OptimumEstimate> EstimateOptimum(const Fit& fit, const Bootstrap& bootstrap,
                                               double compute_flop) {
  const std::optional<Allocation> best = fit.law->Optimal(fit.parameters, compute_flop);
  if (!best) return std::nullopt;
  std::vector<double> params, tokens, ratio, loss;
  for (const Vector& natural : bootstrap.parameters) {
    const std::optional<Allocation> other = fit.law->Optimal(natural, compute_flop);
    params.push_back(other->params);
    tokens.push_back(other->tokens);
    ratio.push_back(other->tokens / other->params);
    loss.push_back(other->loss);
  }
  return OptimumEstimate{*best, Intervals(params), Intervals(tokens), Intervals(ratio),
                         Intervals(loss)};
}

std::optional<ExponentEstimate> EstimateGrowth(const Fit& fit, const Bootstrap& bootstrap) {
  if (!fit.law->Optimal(fit.parameters, 1e21)) return std::nullopt;
  ExponentEstimate out;
  out.value = Growth(*fit.law, fit.parameters);
  std::vector<double> values;
  for (const Vector& natural : bootstrap.parameters) values.push_back(Growth(*fit.law, natural));
  out.standard_error = StandardDeviation(values);
  out.intervals = Intervals(values);
  return out;
}

}  // namespace longrun::scaling
