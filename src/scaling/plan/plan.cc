#include "scaling/plan/plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "scaling/plan/constraints.h"
#include "scaling/plan/solve.h"

namespace longrun::scaling {
namespace {

// Of resamples asked for the way to a loss, which takes each some milliseconds.
constexpr size_t kMostDraws = 1000;

absl::Status CheckRequest(const PlanRequest& request, const Cluster* cluster) {
  const PlanLimits& limits = request.limits;
  if (request.target_loss && request.params && request.tokens) {
    return absl::InvalidArgumentError(
        "params and tokens decide the loss: leave out one of the three (target loss, params, "
        "tokens)");
  }
  if (cluster == nullptr &&
      (limits.money || limits.seconds || limits.watts || limits.accelerators)) {
    return absl::InvalidArgumentError(
        "limits of money, time, power and accelerators need a cluster to be counted on "
        "(--cluster FILE)");
  }
  if (limits.money && !cluster->price.given()) {
    return absl::InvalidArgumentError(
        absl::StrCat(cluster->name,
                     " has no price, so money cannot limit the plan: add price.accelerator_hour "
                     "or price.electricity_kwh to its file"));
  }
  if (GoalOf(request) == Goal::kLowestLoss && !limits.compute_flop && !limits.money &&
      !limits.seconds) {
    return absl::InvalidArgumentError(
        "nothing says how large the training is: give a target loss, compute, money or a deadline, "
        "or both params and tokens");
  }
  return absl::OkStatus();
}

AllocationIntervals SpreadOf(const PlanRequest& request, const Allocation& choice) {
  AllocationIntervals spread;
  std::vector<double> params, tokens, ratio, losses;
  const size_t stride = GoalOf(request) == Goal::kTargetLoss
                            ? std::max<size_t>(1, request.others.size() / kMostDraws)
                            : 1;
  for (size_t i = 0; i < request.others.size(); i += stride) {
    const absl::StatusOr<Allocation> other = ChooseWith(request, request.others[i], choice.compute);
    if (!other.ok()) continue;
    params.push_back(other->params);
    tokens.push_back(other->tokens);
    ratio.push_back(other->tokens / other->params);
    // What this very choice would reach if the other law were true.
    losses.push_back(request.others[i](choice.params, choice.tokens));
  }
  spread.draws = static_cast<int>(params.size());
  if (spread.draws < 20) return spread;
  spread.params = Intervals(params);
  spread.tokens = Intervals(tokens);
  spread.tokens_per_param = Intervals(ratio);
  spread.loss = Intervals(losses);
  return spread;
}

absl::StatusOr<OverTrained> OverTrain(const PlanRequest& request, const Allocation& choice) {
  AllocationLimits limits;
  limits.most_tokens = request.limits.data_tokens.value_or(limits.most_tokens);
  OverTrained result;
  LR_ASSIGN_OR_RETURN(result.choice,
                      CheapestForLoss(request.loss, choice.loss, request.served_tokens, limits));
  const auto total = [&](const Allocation& one) {
    return one.compute + 2 * one.params * request.served_tokens;
  };
  result.total_flop = total(result.choice);
  result.optimal_total_flop = total(choice);
  return result;
}

void AddNotesOfTheLaw(const PlanRequest& request, Plan& plan) {
  const double beyond = plan.choice.compute / request.fitted_flop;
  if (request.fitted_flop > 0 && beyond > 10) {
    plan.notes.push_back(absl::StrFormat(
        "this is %.1f orders of magnitude beyond the largest training that the law was fitted to",
        std::log10(beyond)));
  }
  if (!plan.intervals.params.empty()) {
    plan.notes.push_back(
        "the intervals are those of the law's parameters alone; longrun predict adds the rest");
  }
  if (plan.choice.tokens / plan.choice.params > 2000) {
    plan.notes.push_back("more than 2,000 tokens a parameter: beyond what any published law saw");
  }
}

void AddNotes(const PlanRequest& request, const Cluster* cluster, Plan& plan) {
  AddNotesOfTheLaw(request, plan);
  if (!plan.execution) return;
  const Execution& execution = *plan.execution;
  const Failures& failures = execution.failures;
  if (execution.accelerators < 0.95 * static_cast<double>(execution.accelerators_allowed)) {
    plan.notes.push_back(
        absl::StrCat(execution.accelerators, " of ", execution.accelerators_allowed,
                     " accelerators are used: a step of ", execution.layout.batch_sequences,
                     " sequences cannot be cut further without losing more than it gains"));
  }
  if (std::abs(failures.share_formula / failures.share - 1) > 0.05) {
    plan.notes.push_back(absl::StrFormat(
        "failures are so frequent that the first-order formula (%.1f%%) is %.0f%% off",
        100 * failures.share_formula, 100 * std::abs(failures.share_formula / failures.share - 1)));
  }
  if (execution.layout.overhead.bubble > 0.25) {
    plan.notes.push_back(
        absl::StrFormat("pipeline stages wait for %.0f%% of their work's time: a larger batch or "
                        "fewer accelerators "
                        "would use them better",
                        100 * execution.layout.overhead.bubble));
  }
  if (execution.serving_accelerators == 0) {
    plan.notes.push_back(
        absl::StrCat("all of ", cluster->name, " cannot hold the weights and a sequence to serve"));
  }
}

}  // namespace

absl::StatusOr<Plan> MakePlan(const PlanRequest& request, const Cluster* cluster) {
  LR_RETURN_IF_ERROR(CheckRequest(request, cluster));
  LR_ASSIGN_OR_RETURN(const Solution solution, Solve(request, cluster));
  Plan plan;
  plan.choice = solution.choice;
  plan.execution = solution.execution;
  plan.shape = ShapeFor(request, plan.choice);
  plan.context = request.context;
  plan.flop_per_token = TrainingFlopPerToken(plan.shape, plan.choice.params, request.context);
  plan.kv_bytes_per_token = KvBytesPerToken(plan.shape, 2);
  plan.batch_tokens = BatchTokensFor(request, plan.choice);
  plan.intervals = SpreadOf(request, plan.choice);
  if (request.served_tokens > 0) {
    LR_ASSIGN_OR_RETURN(plan.over_trained, OverTrain(request, plan.choice));
  }
  AddConstraints(request, cluster, solution, plan);
  AddNotes(request, cluster, plan);
  return plan;
}

}  // namespace longrun::scaling
