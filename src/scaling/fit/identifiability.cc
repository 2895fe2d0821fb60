#include "scaling/fit/identifiability.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

namespace longrun::scaling {
namespace {

// ∂natural/∂coordinates, by central differences.
Matrix NaturalByCoordinates(const FitProblem& problem, const Vector& x) {
  const int size = static_cast<int>(x.size());
  Matrix out(size, size);
  for (int i = 0; i < size; ++i) {
    const double h = 1e-6;
    Vector up = x;
    Vector down = x;
    up[i] += h;
    down[i] -= h;
    out.col(i) = (problem.law().ToNatural(up, problem.centre()) -
                  problem.law().ToNatural(down, problem.centre())) /
                 (2 * h);
  }
  return out;
}

// JᵀJ with a trace of a diagonal, so that what the data do not show has a huge variance and not an
// undefined one.
Matrix Information(const Eigen::MatrixXd& jacobian) {
  Matrix information = jacobian.transpose() * jacobian;
  const double ridge = 1e-13 * information.trace();
  information.diagonal().array() += ridge;
  return information;
}

Matrix Covariance(const Matrix& information) {
  return information.ldlt().solve(Matrix::Identity(information.rows(), information.cols()));
}

// Sizes from a tenth of the least measured to ten times the largest, a few to the decade.
std::vector<double> SizesAround(const Points& points, Quantity quantity) {
  double lo = points[0].Get(quantity);
  double hi = lo;
  for (const Point& p : points) {
    lo = std::min(lo, p.Get(quantity));
    hi = std::max(hi, p.Get(quantity));
  }
  std::vector<double> out;
  constexpr int kPerDecade = 4;
  const int from = static_cast<int>(std::floor(std::log10(lo) * kPerDecade)) - kPerDecade;
  const int to = static_cast<int>(std::ceil(std::log10(hi) * kPerDecade)) + kPerDecade;
  for (int i = from; i <= to; ++i) out.push_back(std::pow(10, i / double{kPerDecade}));
  return out;
}

std::vector<Point> Candidates(const Law& law, const Points& points) {
  double dearest = 0;
  for (const Point& p : points) dearest = std::max(dearest, p.compute);
  std::vector<Point> out;
  const std::vector<Quantity>& reads = law.reads();
  const std::vector<double> first = SizesAround(points, reads[0]);
  const std::vector<double> second =
      reads.size() > 1 ? SizesAround(points, reads[1]) : std::vector<double>{1};
  for (const double a : first) {
    for (const double b : second) {
      Point p;
      p.Set(reads[0], a);
      if (reads.size() > 1) p.Set(reads[1], b);
      Points one{p};
      FillByCompute(one);
      // Rounded to steps: a run of the dearest size counts as affordable.
      if (dearest > 0 && one[0].compute > dearest * 1.01) continue;
      out.push_back(one[0]);
    }
  }
  return out;
}

}  // namespace

Identifiability Identify(const FitProblem& problem, const Vector& x, double noise) {
  Identifiability out;
  const Eigen::MatrixXd jacobian = problem.Jacobian(x);
  Eigen::MatrixXd scaled = jacobian;
  for (int c = 0; c < scaled.cols(); ++c) {
    const double length = scaled.col(c).norm();
    if (length > 0) scaled.col(c) /= length;
  }
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(scaled, Eigen::ComputeThinV);
  const Eigen::VectorXd& values = svd.singularValues();
  const int last = static_cast<int>(values.size()) - 1;
  out.condition = values[last] > 0 ? values[0] / values[last] : 1e300;
  for (int c = 0; c < x.size(); ++c) {
    // A parameter has a part in the weakest direction when it is more than a spectator of it.
    if (std::abs(svd.matrixV()(c, last)) > 0.3) {
      out.weakest.push_back(problem.law().parameters()[c].name);
    }
  }
  const Matrix covariance = Covariance(Information(jacobian));
  const Matrix by = NaturalByCoordinates(problem, x);
  const Matrix natural = by * covariance * by.transpose();
  out.standard_errors = noise * natural.diagonal().cwiseMax(0).cwiseSqrt();
  out.relative_errors = Vector::Zero(x.size());
  for (const int e : problem.law().exponents()) {
    out.relative_errors[e] = noise * std::sqrt(std::max(covariance(e, e), 0.0)) / std::abs(x[e]);
  }
  return out;
}

std::vector<NextRun> RunsToPin(const FitProblem& problem, const Points& points, const Vector& x,
                               int parameter, double noise, int count) {
  const Law& law = problem.law();
  Matrix information = Information(problem.Jacobian(x));
  const Matrix by = NaturalByCoordinates(problem, x);
  const Vector direction = by.row(parameter).transpose();
  const double value = std::abs(law.ToNatural(x, problem.centre())[parameter]);
  const auto error = [&](const Matrix& covariance) {
    return noise * std::sqrt(std::max(direction.dot(covariance * direction), 0.0)) / value;
  };
  std::vector<NextRun> out;
  const std::vector<Point> candidates = Candidates(law, points);
  for (int i = 0; i < count; ++i) {
    const Matrix covariance = Covariance(information);
    const Vector toward = covariance * direction;
    double best_gain = 0;
    Vector best_gradient;
    NextRun best;
    best.error_before = error(covariance);
    for (const Point& candidate : candidates) {
      Vector g;
      law.LogLoss(law.FeaturesOf(candidate) - problem.centre(), x, &g, nullptr);
      // How much the variance falls with one more row of the Jacobian (Sherman and Morrison).
      const double along = g.dot(toward);
      const double gain = along * along / (1 + g.dot(covariance * g));
      if (gain <= best_gain) continue;
      best_gain = gain;
      best_gradient = g;
      best.point = candidate;
    }
    if (best_gain <= 0) break;
    information += best_gradient * best_gradient.transpose();
    best.error_after = error(Covariance(information));
    out.push_back(best);
  }
  return out;
}

}  // namespace longrun::scaling
