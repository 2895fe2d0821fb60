// The least value of a smooth-enough function of a few coordinates in a box: Newton's method with
// the true Hessian in a trust region (Nocedal and Wright 2006, chapter 4), coordinates held at a
// bound while the function falls beyond it. Any thread.
#pragma once

#include "absl/functional/function_ref.h"
#include "scaling/laws/law.h"

namespace longrun::scaling {

struct Evaluation {
  double value = 0;
  Vector gradient;
  Matrix hessian;
};

struct MinimizeOptions {
  int max_iterations = 100;
  // Ends when the model promises a fall of less than this part of the value.
  double tolerance = 1e-15;
  double radius = 0.5;  // of the first trust region, in coordinates
};

struct Minimum {
  Vector x;
  double value = 0;
  int iterations = 0;
  bool converged = false;
};

// `evaluate` fills all three; it is called inside the box alone. `start` is moved into the box.
Minimum Minimize(absl::FunctionRef<void(const Vector& x, Evaluation& out)> evaluate,
                 const Vector& start, const Bounds& box, const MinimizeOptions& options);

}  // namespace longrun::scaling
