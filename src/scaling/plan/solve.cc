#include "scaling/plan/solve.h"

#include <algorithm>
#include <cmath>

namespace longrun::scaling {
namespace {

constexpr double kLeastFlop = 1e10;
constexpr double kMostFlop = 1e32;
constexpr double kSlack = 1e-9;  // of a limit, for the last bit

AllocationLimits AllocationLimitsOf(const PlanRequest& request) {
  AllocationLimits limits;
  limits.params = request.params;
  limits.tokens = request.tokens;
  limits.most_tokens = request.limits.data_tokens.value_or(limits.most_tokens);
  return limits;
}

absl::StatusOr<Execution> ExecuteChoice(const PlanRequest& request, const Allocation& choice,
                                        const Cluster& cluster) {
  ExecutionQuestion question;
  question.shape = ShapeFor(request, choice);
  question.params = choice.params;
  question.tokens = choice.tokens;
  question.context = request.context;
  question.batch_tokens = BatchTokensFor(request, choice);
  question.precision = request.precision;
  question.spares_confidence = request.spares_confidence;
  question.accelerators = request.limits.accelerators;
  question.watts = request.limits.watts;
  question.layout = request.layout;
  return Execute(question, cluster);
}

bool Keeps(const PlanLimits& limits, const Execution& execution) {
  if (limits.seconds && execution.seconds > *limits.seconds * (1 + kSlack)) return false;
  return !limits.money || *execution.cost <= *limits.money * (1 + kSlack);
}

absl::StatusOr<Solution> At(const PlanRequest& request, const Cluster* cluster, double compute) {
  Solution solution;
  LR_ASSIGN_OR_RETURN(solution.choice, ChooseWith(request, request.loss, compute));
  if (cluster != nullptr) {
    LR_ASSIGN_OR_RETURN(solution.execution, ExecuteChoice(request, solution.choice, *cluster));
  }
  return solution;
}

// The largest x in [lo, hi] at which a condition holds that holds at lo, nearly: it holds below
// some point and not above, but for steps near it.
template <class F>
double Last(double lo, double hi, const F& holds) {
  const auto halve = [&holds](double below, double above) {
    for (int i = 0; i < 40; ++i) {
      const double middle = (below + above) / 2;
      (holds(middle) ? below : above) = middle;
    }
    return below;
  };
  const double first = halve(lo, hi);
  // Shapes and layouts come in steps, so some of the compute just above may be kept again.
  constexpr double kStep = 0.01;
  for (int i = 30; i > 0; --i) {
    const double above = first + i * kStep;
    if (above < hi && holds(above)) return halve(above, above + kStep);
  }
  return first;
}

// The most compute that the limits leave.
absl::StatusOr<Solution> LowestLoss(const PlanRequest& request, const Cluster* cluster) {
  const double most = request.limits.compute_flop.value_or(kMostFlop);
  if (cluster == nullptr) return At(request, cluster, most);
  absl::Status refusal;
  const auto kept = [&](double log_compute) {
    const absl::StatusOr<Solution> solution = At(request, cluster, std::exp(log_compute));
    if (!solution.ok()) refusal = solution.status();
    return solution.ok() && Keeps(request.limits, *solution->execution);
  };
  const double least = std::log(std::min(kLeastFlop, most));
  if (kept(std::log(most))) return At(request, cluster, most);
  if (!kept(least)) {
    if (!refusal.ok()) return refusal;
    return absl::FailedPreconditionError(
        "within these limits nothing can be trained: the time or the money is over before the "
        "first failure is recovered from");
  }
  return At(request, cluster, std::exp(Last(least, std::log(most), kept)));
}

}  // namespace

Goal GoalOf(const PlanRequest& request) {
  if (request.target_loss) return Goal::kTargetLoss;
  return request.params && request.tokens ? Goal::kThisModel : Goal::kLowestLoss;
}

absl::StatusOr<Allocation> ChooseWith(const PlanRequest& request, const LossOf& loss,
                                      double compute) {
  const AllocationLimits limits = AllocationLimitsOf(request);
  if (GoalOf(request) == Goal::kTargetLoss) {
    return CheapestForLoss(loss, *request.target_loss, 0, limits);
  }
  return BestForCompute(loss, compute, limits);
}

absl::StatusOr<Solution> Solve(const PlanRequest& request, const Cluster* cluster) {
  if (GoalOf(request) == Goal::kLowestLoss) return LowestLoss(request, cluster);
  return At(request, cluster, 0);
}

ModelShape ShapeFor(const PlanRequest& request, const Allocation& choice) {
  if (request.shape) return *request.shape;
  return ShapeOf(std::max(1e5, choice.params), request.vocabulary);
}

double BatchTokensFor(const PlanRequest& request, const Allocation& choice) {
  if (request.batch_tokens > 0) return request.batch_tokens;
  const double context = static_cast<double>(request.context);
  const double sequences = std::max(1.0, CriticalBatchTokens(choice.loss) / context);
  return context * std::exp2(std::round(std::log2(sequences)));
}

}  // namespace longrun::scaling
