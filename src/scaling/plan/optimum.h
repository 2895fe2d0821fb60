// Which model to train on how much: the cheapest way to a loss, or the lowest loss for a compute,
// by a law of parameters and tokens. Pure; any thread.
//
// Compute is counted as laws count it, 6 · params · tokens (Kaplan et al. 2020, section 2.1).
#pragma once

#include <functional>
#include <limits>
#include <optional>

#include "base/status.h"
#include "scaling/laws/law.h"

namespace longrun::scaling {

// The loss of `params` trained on `tokens`, both above 0; falls as either grows.
using LossOf = std::function<double(double params, double tokens)>;

// Of a law that reads params and tokens; InvalidArgument for one that parts them not.
absl::StatusOr<LossOf> LossOfLaw(const Law& law, const Vector& parameters);

struct AllocationLimits {
  std::optional<double> params;                                  // the model is given
  std::optional<double> tokens;                                  // the tokens are given
  double most_tokens = std::numeric_limits<double>::infinity();  // that there are to train on
};

// The lowest loss that `compute` FLOP reach. With params and tokens both given, `compute` says
// nothing.
Allocation BestForCompute(const LossOf& loss, double compute, const AllocationLimits& limits);

// The model that reaches `target` for the fewest FLOP of training and serving together: 6·N·D +
// 2·N·`served_tokens` (Sardana et al. 2024, equation 1). Serves nothing: the compute-optimal one.
// FailedPrecondition where no model within 1e16 parameters and 1e18 tokens reaches the target.
absl::StatusOr<Allocation> CheapestForLoss(const LossOf& loss, double target, double served_tokens,
                                           const AllocationLimits& limits);

}  // namespace longrun::scaling
