// How large the training is: from a plan's request to an allocation, and its execution on a
// cluster. Pure; any thread.
#pragma once

#include <optional>

#include "base/status.h"
#include "scaling/plan/plan.h"

namespace longrun::scaling {

enum class Goal {
  kThisModel,   // params and tokens are given
  kTargetLoss,  // as cheaply as can be
  kLowestLoss,  // within the limits
};
Goal GoalOf(const PlanRequest& request);

struct Solution {
  Allocation choice;
  std::optional<Execution> execution;  // where there is a cluster
};

// For kLowestLoss the limits are kept; for the other goals they are not looked at, and
// AddConstraints tells which are broken. FailedPrecondition: see Execute and CheapestForLoss, or
// where the limits leave room for nothing.
absl::StatusOr<Solution> Solve(const PlanRequest& request, const Cluster* cluster);

// What another law would choose for the same goal; for kLowestLoss at `compute`.
absl::StatusOr<Allocation> ChooseWith(const PlanRequest& request, const LossOf& loss,
                                      double compute);

ModelShape ShapeFor(const PlanRequest& request, const Allocation& choice);
// Those asked for, or the critical batch size, brought to the nearest power of two sequences.
double BatchTokensFor(const PlanRequest& request, const Allocation& choice);

}  // namespace longrun::scaling
