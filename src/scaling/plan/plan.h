// A plan: what to train, on what, for how long, at what cost, and what stands in the way. From a
// law, a cluster and limits. Pure; any thread.
//
// Exactly one of these decides how large the training is:
//   params and tokens    both given: this very model
//   target_loss          the cheapest model that reaches it
//   otherwise            the lowest loss within the limits of compute, money and time
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/fit/bootstrap.h"
#include "scaling/plan/cluster.h"
#include "scaling/plan/execution.h"
#include "scaling/plan/model.h"
#include "scaling/plan/optimum.h"

namespace longrun::scaling {

// What may not be exceeded; absent: no limit.
struct PlanLimits {
  std::optional<double> compute_flop;  // as laws count it, 6·N·D
  std::optional<double> money;
  std::optional<double> seconds;       // until the last step
  std::optional<double> watts;         // of the facility
  std::optional<double> accelerators;  // fewer than the cluster has
  std::optional<double> data_tokens;   // that there are to train on, repetitions included
};

struct PlanRequest {
  LossOf loss;
  // Other laws that the data allow as well (bootstrap refits): intervals come from them. May be
  // empty.
  std::vector<LossOf> others;
  double fitted_flop = 0;  // the largest training that the law was fitted to; 0: unknown
  std::optional<double> target_loss;
  std::optional<double> params;
  std::optional<double> tokens;
  PlanLimits limits;
  double served_tokens = 0;         // over the model's life
  std::optional<ModelShape> shape;  // else ShapeOf(params)
  int64_t vocabulary = 32000;       // for ShapeOf
  int64_t context = 8192;           // tokens of a sequence
  double batch_tokens = 0;          // of a step; 0: the critical batch size
  Precision precision;
  std::optional<Layout> layout;  // this one, but for its micro-batches; else the fastest
  double spares_confidence = 0.99;
};

// At kIntervalLevels.
struct AllocationIntervals {
  std::vector<Interval> params;
  std::vector<Interval> tokens;
  std::vector<Interval> tokens_per_param;
  std::vector<Interval> loss;
  int draws = 0;  // laws that answered
};

// The model that costs least when serving is counted, and reaches the same loss.
struct OverTrained {
  Allocation choice;
  double total_flop = 0;          // training and serving
  double optimal_total_flop = 0;  // of the compute-optimal model, serving counted
};

// One thing that could stand in the way.
struct Constraint {
  std::string name;  // "accelerators", "memory", "power", "money", "time", "data", "compute"
  double used = 0;
  double limit = 0;
  std::string unit;
  // With a limit 10 % higher:
  double loss = 0;                // reached
  std::optional<double> seconds;  // taken
  double gain = 0;                // how much lower the loss gets, or the time where that is given

  double share() const { return used / limit; }
};

struct Plan {
  Allocation choice;
  AllocationIntervals intervals;
  std::optional<OverTrained> over_trained;
  ModelShape shape;
  int64_t context = 0;
  double flop_per_token = 0;
  double kv_bytes_per_token = 0;
  double batch_tokens = 0;
  std::optional<Execution> execution;
  std::vector<Constraint> constraints;
  std::string binding;   // name of the constraint that binds first; "" where none does
  bool feasible = true;  // all limits are kept
  std::optional<Allocation> reachable;  // within the limits, where they are not
  std::vector<std::string> notes;
};

// `cluster`: null for a plan of the model alone. InvalidArgument where nothing, or too much,
// decides how large the training is; FailedPrecondition where nothing within the limits can be.
absl::StatusOr<Plan> MakePlan(const PlanRequest& request, const Cluster* cluster);

}  // namespace longrun::scaling
