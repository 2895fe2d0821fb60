#include "scaling/fit/fit_problem.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace longrun::scaling {
namespace {

// Adds weight·ρ(r) and its derivatives, where ∇r = g and ∇²r = h, to the upper triangle.
void Accumulate(const Penalty& penalty, double weight, const Vector& g, const Matrix& h,
                Evaluation& out) {
  const int size = static_cast<int>(g.size());
  const double slope = weight * penalty.slope;
  const double curvature = weight * penalty.curvature;
  out.value += weight * penalty.value;
  for (int j = 0; j < size; ++j) {
    out.gradient[j] += slope * g[j];
    const double outer = curvature * g[j];
    for (int i = 0; i <= j; ++i) out.hessian(i, j) += slope * h(i, j) + outer * g[i];
  }
}

void Begin(const Vector& x, Evaluation& out) {
  out.value = 0;
  out.gradient.setZero(x.size());
  out.hessian.setZero(x.size(), x.size());
}

void Mirror(Evaluation& out) {
  for (int j = 0; j < out.hessian.cols(); ++j) {
    for (int i = 0; i < j; ++i) out.hessian(j, i) = out.hessian(i, j);
  }
}

}  // namespace

FitProblem::FitProblem(const Law& law, const Points& points) : law_(&law) {
  LR_CHECK(!points.empty());
  range_ = {points[0].loss, 0, points[0].loss};
  double sum = 0;
  for (const Point& point : points) {
    LR_CHECK_GT(point.loss, 0);
    features_.push_back(law.FeaturesOf(point));
    centre_ += features_.back();
    log_loss_.push_back(std::log(point.loss));
    weight_.push_back(1);
    range_.min = std::min(range_.min, point.loss);
    range_.max = std::max(range_.max, point.loss);
    sum += point.loss;
  }
  total_weight_ = static_cast<double>(points.size());
  range_.mean = sum / total_weight_;
  centre_ /= total_weight_;
  for (Features& f : features_) f -= centre_;
}

void FitProblem::Append(const FitProblem& from, int point, double weight) {
  features_.push_back(from.features_[point]);
  log_loss_.push_back(from.log_loss_[point]);
  weight_.push_back(weight);
  total_weight_ += weight;
}

FitProblem FitProblem::Resampled(const std::vector<int>& counts) const {
  LR_CHECK_EQ(counts.size(), log_loss_.size());
  FitProblem out;
  out.law_ = law_;
  out.centre_ = centre_;
  out.range_ = range_;
  for (int i = 0; i < size(); ++i) {
    if (counts[i] > 0) out.Append(*this, i, weight_[i] * counts[i]);
  }
  return out;
}

FitProblem FitProblem::WithLosses(const std::vector<double>& log_losses) const {
  LR_CHECK_EQ(log_losses.size(), log_loss_.size());
  FitProblem out = *this;
  out.log_loss_ = log_losses;
  return out;
}

FitProblem FitProblem::Thinned(int count) const {
  const int stride = (size() + count - 1) / count;
  std::vector<int> counts(size(), 0);
  for (int i = 0; i < size(); i += stride) counts[i] = 1;
  return Resampled(counts);
}

void FitProblem::Huber(const Vector& x, double delta, Evaluation& out) const {
  Begin(x, out);
  Vector g;
  Matrix h;
  for (int i = 0; i < size(); ++i) {
    const double r = law_->LogLoss(features_[i], x, &g, &h) - log_loss_[i];
    Accumulate(HuberPenalty(r, delta), weight_[i], g, h, out);
  }
  Mirror(out);
}

void FitProblem::Squares(const Vector& x, Evaluation& out) const {
  Begin(x, out);
  Vector g;
  Matrix h;
  for (int i = 0; i < size(); ++i) {
    const double loss = std::exp(law_->LogLoss(features_[i], x, &g, &h));
    // ∇L̂ = L̂·∇ln L̂ and ∇²L̂ = L̂·(∇²ln L̂ + ∇ln L̂·∇ln L̂ᵀ).
    for (int c = 0; c < g.size(); ++c) {
      for (int b = 0; b <= c; ++b) h(b, c) = loss * (h(b, c) + g[b] * g[c]);
    }
    g *= loss;
    Accumulate(SquarePenalty(loss - std::exp(log_loss_[i])), weight_[i], g, h, out);
  }
  Mirror(out);
}

double FitProblem::LogPrediction(int point, const Vector& x) const {
  return law_->LogLoss(features_[point], x, nullptr, nullptr);
}

std::vector<double> FitProblem::Residuals(const Vector& x) const {
  std::vector<double> out(size());
  for (int i = 0; i < size(); ++i) out[i] = LogPrediction(i, x) - log_loss_[i];
  return out;
}

Eigen::MatrixXd FitProblem::Jacobian(const Vector& x) const {
  Eigen::MatrixXd out(size(), x.size());
  Vector g;
  for (int i = 0; i < size(); ++i) {
    law_->LogLoss(features_[i], x, &g, nullptr);
    out.row(i) = g.transpose();
  }
  return out;
}

}  // namespace longrun::scaling
