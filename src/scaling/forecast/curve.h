// A run's loss as it trains, held against a forecast of where it should be. Pure; any thread.
//
// A law speaks of finished runs: L(N, t) is what a run planned for t tokens ends with. A run that
// is still under way lies above that, because its learning rate has not come down yet; by how much
// is much the same for runs of all sizes at the same fraction of their way. CurveShape learns that
// gap from the curves of smaller runs. Without it an unfinished run can be found to be below the
// line, never above.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/forecast/forecast.h"

namespace longrun::scaling {

struct CurvePoint {
  double tokens = 0;  // trained on so far
  double loss = 0;
};
using Curve = std::vector<CurvePoint>;  // tokens ascending

// A finished smaller run.
struct RunCurve {
  Point run;  // N, D, and the law's other quantities
  Curve curve;
};

// The gap at fractions of the way: ln loss − ln of what the law says of a run that ends there.
struct CurveShape {
  struct Knot {
    double fraction = 0;
    double gap = 0;
    double deviation = 0;  // standard, between runs
  };
  std::vector<Knot> knots;  // ascending; linear between, the nearest one beyond
  int runs = 0;

  Knot At(double fraction) const;
};

// InvalidArgument: fewer than two curves that reach 90 % of their way.
absl::StatusOr<CurveShape> LearnShape(const Forecast& forecast, const std::vector<RunCurve>& runs);

// What had been trained on, and the mean loss just before: over the last twentieth of the tokens.
struct SmoothedLoss {
  double tokens = 0;  // mean of those that were averaged
  double loss = 0;
  double relative_error = 0;  // standard error of the mean, from the scatter, over the loss
};
SmoothedLoss SmoothedEnd(const Curve& curve);

// The part of the curve up to `tokens`.
Curve UpTo(const Curve& curve, double tokens);

enum class Verdict { kOnTheLine, kAbove, kBelow, kCannotTell };

struct CurveCheck {
  double tokens = 0;
  double fraction = 0;  // of the planned tokens
  double loss = 0;      // smoothed
  double expected = 0;  // at this fraction; without a shape, what a run ending here would reach
  Range range80;
  Range range95;
  double probability = 0;  // of lying this far off or further, on either side
  Verdict verdict = Verdict::kCannotTell;
};

// `planned`: the run; where its tokens are not known (a law of the compute alone), those
// of the curve are shares of the run, up to 1. A run counts as off the line outside the 80 %
// interval. InvalidArgument where the curve is empty or goes 1 % beyond the plan.
absl::StatusOr<CurveCheck> CheckCurve(const Forecast& forecast, const Point& planned,
                                      const std::optional<CurveShape>& shape, const Curve& curve);

std::string VerdictInWords(Verdict verdict);  // "on the line"

}  // namespace longrun::scaling
