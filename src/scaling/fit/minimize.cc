#include "scaling/fit/minimize.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <array>
#include <cmath>

namespace longrun::scaling {
namespace {

// Of a sum over hundreds of points, relative.
constexpr double kRounding = 1e-13;

// The step that minimises gᵀs + sᵀHs/2 within `radius`, H being V·diag(values)·Vᵀ.
Vector TrustRegionStep(const Matrix& vectors, const Vector& values, const Vector& gradient,
                       double radius) {
  const Vector along = vectors.transpose() * gradient;
  const double largest = values.cwiseAbs().maxCoeff();
  const double smallest = values.minCoeff();
  const double floor = std::max(largest * 1e-14, 1e-300);
  const auto length = [&](double shift) {
    double sum = 0;
    for (int i = 0; i < along.size(); ++i) {
      const double part = along[i] / std::max(values[i] + shift, floor);
      sum += part * part;
    }
    return std::sqrt(sum);
  };
  double shift = 0;
  if (smallest <= floor || length(0) > radius) {
    // The length falls as the shift grows; halve the interval on a logarithmic scale.
    const double least = std::max(0.0, -smallest);
    double lo = floor;
    double hi = along.norm() / radius + largest;
    if (length(least + lo) <= radius) {
      shift = least + lo;
    } else {
      for (int i = 0; i < 40 && hi / lo > 1.05; ++i) {
        const double middle = std::sqrt(lo * hi);
        (length(least + middle) > radius ? lo : hi) = middle;
      }
      shift = least + hi;
    }
  }
  Vector scaled = along;
  for (int i = 0; i < along.size(); ++i) scaled[i] /= -std::max(values[i] + shift, floor);
  return vectors * scaled;
}

// Coordinates that may move: not those at a bound beyond which the function falls.
int FreeCoordinates(const Vector& x, const Vector& gradient, const Bounds& box,
                    std::array<int, kMaxParameters>& free) {
  int count = 0;
  for (int i = 0; i < x.size(); ++i) {
    const bool low = x[i] <= box.lower[i] && gradient[i] > 0;
    const bool high = x[i] >= box.upper[i] && gradient[i] < 0;
    if (!low && !high) free[count++] = i;
  }
  return count;
}

// A step of the free coordinates, cut at the box.
Vector StepInBox(const Vector& x, const Evaluation& at, const Bounds& box, double radius) {
  std::array<int, kMaxParameters> free;
  const int count = FreeCoordinates(x, at.gradient, box, free);
  Vector step = Vector::Zero(x.size());
  if (count == 0) return step;
  Vector gradient(count);
  Matrix hessian(count, count);
  for (int i = 0; i < count; ++i) {
    gradient[i] = at.gradient[free[i]];
    for (int j = 0; j < count; ++j) hessian(i, j) = at.hessian(free[i], free[j]);
  }
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(hessian);
  const Vector inner = TrustRegionStep(eigen.eigenvectors(), eigen.eigenvalues(), gradient, radius);
  for (int i = 0; i < count; ++i) {
    const int c = free[i];
    step[c] = std::clamp(x[c] + inner[i], box.lower[c], box.upper[c]) - x[c];
  }
  return step;
}

}  // namespace

Minimum Minimize(absl::FunctionRef<void(const Vector& x, Evaluation& out)> evaluate,
                 const Vector& start, const Bounds& box, const MinimizeOptions& options) {
  Minimum best;
  best.x = start.cwiseMax(box.lower).cwiseMin(box.upper);
  Evaluation at;
  Evaluation next;
  evaluate(best.x, at);
  double radius = options.radius;
  for (; best.iterations < options.max_iterations; ++best.iterations) {
    const Vector step = StepInBox(best.x, at, box, radius);
    const double promised = -(at.gradient.dot(step) + 0.5 * step.dot(at.hessian * step));
    const double length = step.norm();
    if (!(promised > options.tolerance * std::abs(at.value)) || length < 1e-15) {
      // Cutting at the box may spoil a good step; a shorter one is cut less.
      if (promised <= 0 && length > 1e-12 && radius > 1e-12) {
        radius = length / 4;
        continue;
      }
      best.converged = true;
      break;
    }
    const Vector x = (best.x + step).cwiseMax(box.lower).cwiseMin(box.upper);
    evaluate(x, next);
    const double ratio = (at.value - next.value) / promised;
    if (std::isfinite(next.value) && next.value < at.value) {
      best.x = x;
      std::swap(at, next);
    } else if (length < 1e-14 || promised < kRounding * std::abs(at.value)) {
      best.converged = true;  // what is left to gain is lost in the sum's rounding
      break;
    }
    if (!(ratio > 0.25)) {
      radius = length / 4;
    } else if (ratio > 0.75 && length > 0.8 * radius) {
      radius *= 2.5;
    }
  }
  best.value = at.value;
  return best;
}

}  // namespace longrun::scaling
