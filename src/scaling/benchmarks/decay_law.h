// The law y = α·C^(−k) through a few measured means, each with a known sampling error, and what it
// says of another compute. Pure; any thread.
#pragma once

#include <vector>

#include "base/status.h"
#include "scaling/range.h"

namespace longrun::scaling {

struct DecayPoint {
  double compute_flop = 0;
  double value = 0;           // > 0
  double standard_error = 0;  // of the value, ≥ 0
};

// A straight line through (log C, log y) as a random-effects meta-regression: weights
// 1/(se² + τ²), where τ is the scatter beyond sampling error (DerSimonian and Laird, 1986), and
// intervals by Student's t with the variance scaled by the misfit (Knapp and Hartung, 2003), though
// never narrower than sampling error by itself makes them.
class DecayLaw {
 public:
  // InvalidArgument: fewer than three computes, or a value that is not positive.
  static absl::StatusOr<DecayLaw> Fit(const std::vector<DecayPoint>& points);

  double alpha() const;  // y at C = 1 FLOP
  double k() const { return -slope_; }
  double tau() const { return tau_; }  // in log y
  int dof() const { return dof_; }
  double largest_compute_flop() const { return largest_; }

  // Of `level` (0.8: 80 %).
  Range AlphaInterval(double level) const;
  Range KInterval(double level) const;
  // y at C > 0, and where a new model's y lies at that level: parameters and scatter, no sampling
  // error of the new model's own.
  double At(double compute_flop) const;
  Range PredictionInterval(double compute_flop, double level) const;

 private:
  double LineVariance(double x) const;
  double HalfWidth(double variance, double level) const;

  double centre_ = 0;  // of log C: the intercept and the slope are independent about it
  double intercept_ = 0;
  double slope_ = 0;
  double intercept_variance_ = 0;
  double slope_variance_ = 0;
  double misfit_ = 0;  // Σ w r² per degree of freedom; 1 is what sampling error and τ lead to
  double tau_ = 0;
  int dof_ = 0;
  double largest_ = 0;
};

}  // namespace longrun::scaling
