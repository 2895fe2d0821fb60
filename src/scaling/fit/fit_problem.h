// A law, points and an objective as one function of the law's coordinates: what the solver
// minimises. The same points with other weights are a resample. Constant after it is made; any
// thread.
#pragma once

#include <vector>

#include "scaling/fit/minimize.h"
#include "scaling/fit/objective.h"
#include "scaling/laws/law.h"
#include "scaling/runs/points.h"

namespace longrun::scaling {

class FitProblem {
 public:
  // The points have all that the law reads, and losses above 0 (FitLaw checks).
  FitProblem(const Law& law, const Points& points);

  // Points drawn `counts[i]` times; those drawn 0 times are left out. The centre stays.
  FitProblem Resampled(const std::vector<int>& counts) const;
  // The same points with other losses.
  FitProblem WithLosses(const std::vector<double>& log_losses) const;
  // Every k-th point, so that at most `count` stay.
  FitProblem Thinned(int count) const;

  // Σ weight·Huber_δ(ln L̂ − ln L), or Σ weight·(L̂ − L)².
  void Huber(const Vector& x, double delta, Evaluation& out) const;
  void Squares(const Vector& x, Evaluation& out) const;

  // ln L̂ − ln L of each point.
  std::vector<double> Residuals(const Vector& x) const;
  double LogPrediction(int point, const Vector& x) const;
  // By coordinates: a row a point.
  Eigen::MatrixXd Jacobian(const Vector& x) const;

  const Law& law() const { return *law_; }
  const Features& centre() const { return centre_; }
  const LossRange& loss_range() const { return range_; }
  int size() const { return static_cast<int>(log_loss_.size()); }
  double weight(int point) const { return weight_[point]; }
  double log_loss(int point) const { return log_loss_[point]; }
  double total_weight() const { return total_weight_; }

 private:
  FitProblem() = default;
  void Append(const FitProblem& from, int point, double weight);

  const Law* law_ = nullptr;
  Features centre_ = Features::Zero();
  LossRange range_;
  std::vector<Features> features_;  // centred
  std::vector<double> log_loss_;
  std::vector<double> weight_;
  double total_weight_ = 0;
};

}  // namespace longrun::scaling
