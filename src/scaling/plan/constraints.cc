#include "scaling/plan/constraints.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace longrun::scaling {
namespace {

constexpr double kMore = 1.1;

struct Relaxed {
  PlanRequest request;
  std::optional<Cluster> cluster;
};

void RaiseAccelerators(Relaxed& relaxed) {
  if (relaxed.request.limits.accelerators) *relaxed.request.limits.accelerators *= kMore;
  relaxed.cluster->nodes =
      std::max(relaxed.cluster->nodes + 1,
               static_cast<int64_t>(std::llround(kMore * relaxed.cluster->nodes)));
}

// The limits there are, with what the solution uses of each.
std::vector<Constraint> Limits(const PlanRequest& request, const Cluster* cluster,
                               const Solution& solution) {
  const PlanLimits& limits = request.limits;
  std::vector<Constraint> all;
  const auto add = [&all](const char* name, double used, double limit, const std::string& unit) {
    Constraint& constraint = all.emplace_back();
    constraint.name = name;
    constraint.used = used;
    constraint.limit = limit;
    constraint.unit = unit;
  };
  if (limits.compute_flop) add("compute", solution.choice.compute, *limits.compute_flop, "FLOP");
  if (limits.data_tokens) add("data", solution.choice.tokens, *limits.data_tokens, "tokens");
  if (!solution.execution) return all;
  const Execution& execution = *solution.execution;
  add("accelerators", static_cast<double>(execution.accelerators),
      static_cast<double>(execution.accelerators_allowed), "accelerators");
  add("memory", execution.layout.memory.total(), cluster->usable_bytes(), "bytes");
  if (limits.watts) add("power", execution.peak_watts, *limits.watts, "W");
  if (limits.money) add("money", *execution.cost, *limits.money, cluster->price.currency);
  if (limits.seconds) add("time", execution.seconds, *limits.seconds, "s");
  return all;
}

Relaxed Raise(const PlanRequest& request, const Cluster* cluster, const std::string& name) {
  Relaxed relaxed{request, std::nullopt};
  if (cluster != nullptr) relaxed.cluster = *cluster;
  PlanLimits& limits = relaxed.request.limits;
  if (name == "compute") *limits.compute_flop *= kMore;
  if (name == "data") *limits.data_tokens *= kMore;
  if (name == "accelerators") RaiseAccelerators(relaxed);
  if (name == "memory") relaxed.cluster->memory_bytes *= kMore;
  if (name == "power") *limits.watts *= kMore;
  if (name == "money") *limits.money *= kMore;
  if (name == "time") *limits.seconds *= kMore;
  return relaxed;
}

// What the solution with a tenth more of it gains: loss, or seconds where the loss is given.
void AddGain(const PlanRequest& request, const Cluster* cluster, const Solution& solution,
             Constraint& constraint) {
  const Relaxed relaxed = Raise(request, cluster, constraint.name);
  const absl::StatusOr<Solution> other =
      Solve(relaxed.request, relaxed.cluster ? &*relaxed.cluster : nullptr);
  const Solution& better = other.ok() ? *other : solution;
  constraint.loss = better.choice.loss;
  if (better.execution) constraint.seconds = better.execution->seconds;
  const double gain = GoalOf(request) == Goal::kLowestLoss
                          ? solution.choice.loss - better.choice.loss
                      : better.execution ? solution.execution->seconds - better.execution->seconds
                                         : solution.choice.compute - better.choice.compute;
  // Less than a millionth is the search's own step.
  const double whole = GoalOf(request) == Goal::kLowestLoss ? solution.choice.loss
                       : better.execution                   ? solution.execution->seconds
                                                            : solution.choice.compute;
  constraint.gain = gain > 1e-5 * whole ? gain : 0;
}

}  // namespace

void AddConstraints(const PlanRequest& request, const Cluster* cluster, const Solution& solution,
                    Plan& plan) {
  plan.constraints = Limits(request, cluster, solution);
  const Constraint* first = nullptr;
  for (Constraint& constraint : plan.constraints) {
    AddGain(request, cluster, solution, constraint);
    if (constraint.share() > 1 + 1e-6) plan.feasible = false;
  }
  for (const Constraint& constraint : plan.constraints) {
    const auto weight = [&](const Constraint& one) {
      return plan.feasible ? one.gain : one.share();
    };
    if (first == nullptr || weight(constraint) > weight(*first)) first = &constraint;
  }
  if (first != nullptr && (!plan.feasible || first->gain > 0)) plan.binding = first->name;
  if (plan.feasible) return;
  PlanRequest within = request;
  within.target_loss.reset();
  within.tokens.reset();
  const PlanLimits& limits = request.limits;
  if (!limits.compute_flop && !limits.money && !limits.seconds) return;
  const absl::StatusOr<Solution> reachable = Solve(within, cluster);
  if (reachable.ok()) plan.reachable = reachable->choice;
}

}  // namespace longrun::scaling
