#include "scaling/plan/execution.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace longrun::scaling {
namespace {

constexpr double kSecondsPerHour = 3600;

// The share of the time that a node is away for repair.
double DownShare(const Cluster& cluster) {
  const double per_second = cluster.failures_per_1000_node_days / 1000 / 86400;
  const double away = per_second * cluster.repair_seconds;
  return away / (1 + away);
}

int64_t AcceleratorsAllowed(const ExecutionQuestion& question, const Cluster& cluster) {
  int64_t held = cluster.nodes;
  if (question.watts) {
    const double nodes = std::floor(*question.watts / (cluster.node_watts * cluster.pue));
    held = std::min(held, static_cast<int64_t>(std::min(nodes, 1e12)));
  }
  int64_t allowed =
      NodesBesideSpares(held, cluster, question.spares_confidence) * cluster.accelerators_per_node;
  if (question.accelerators) {
    allowed = std::min(allowed, static_cast<int64_t>(std::min(*question.accelerators, 1e15)));
  }
  return allowed;
}

Failures FailuresOf(const ExecutionQuestion& question, const Cluster& cluster,
                    const Execution& execution) {
  Failures failures;
  const double nodes = static_cast<double>(execution.layout.nodes);
  failures.mtbf_seconds = MeanSecondsBetweenFailures(nodes, cluster.failures_per_1000_node_days);
  failures.restart_seconds =
      cluster.detect_seconds +
      (cluster.restart_seconds >= 0
           ? cluster.restart_seconds
           : ColdRestartSeconds(static_cast<double>(execution.accelerators)));
  const double bytes = (question.precision.parameter_bytes + question.precision.optimizer_bytes) *
                       question.shape.Params();
  failures.checkpoint_seconds = bytes / cluster.storage_bytes_per_s;
  failures.young_seconds = YoungInterval(failures.checkpoint_seconds, failures.mtbf_seconds);
  failures.interval_seconds = DalyInterval(failures.checkpoint_seconds, failures.mtbf_seconds);
  const FailureCosts costs{failures.mtbf_seconds, failures.restart_seconds,
                           failures.interval_seconds, failures.checkpoint_seconds};
  failures.share_formula = EffectiveShare(costs);
  failures.share = EffectiveShareExact(costs);
  failures.spare_nodes =
      std::min(SparesFor(execution.layout.nodes, DownShare(cluster), question.spares_confidence),
               cluster.nodes - execution.layout.nodes);
  return failures;
}

void AddPowerAndCost(const Cluster& cluster, Execution& execution) {
  const double nodes = static_cast<double>(execution.layout.nodes + execution.failures.spare_nodes);
  const double hours = execution.seconds / kSecondsPerHour;
  execution.peak_watts = nodes * cluster.node_watts * cluster.pue;
  execution.energy_kwh = execution.peak_watts * cluster.average_power / 1000 * hours;
  if (!cluster.price.given()) return;
  const double held = nodes * static_cast<double>(cluster.accelerators_per_node);
  execution.cost = cluster.price.accelerator_hour * held * hours +
                   cluster.price.electricity_kwh * execution.energy_kwh;
}

void AddServing(const ExecutionQuestion& question, const Cluster& cluster, Execution& execution) {
  for (int64_t n = 1; n <= cluster.accelerators(); n *= 2) {
    const ServingMemory memory =
        ServingMemoryOf(question.shape, n, cluster.usable_bytes(), question.context);
    if (memory.sequences < 1) continue;
    execution.serving_accelerators = n;
    execution.serving = memory;
    return;
  }
}

}  // namespace

int64_t NodesBesideSpares(int64_t nodes, const Cluster& cluster, double confidence) {
  return nodes <= 0 ? 0 : nodes - SparesFor(nodes, DownShare(cluster), confidence);
}

double CriticalBatchTokens(double loss) { return 2e8 / std::pow(loss, 1 / 0.21); }

absl::StatusOr<Execution> Execute(const ExecutionQuestion& question, const Cluster& cluster) {
  Execution execution;
  execution.accelerators_allowed = AcceleratorsAllowed(question, cluster);
  if (execution.accelerators_allowed < 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("not one node of ", cluster.name, " may run within the limits: a node draws ",
                     cluster.node_watts * cluster.pue / 1000, " kW at the facility, and ",
                     cluster.nodes, " nodes leave none beside their spares"));
  }
  LayoutQuestion layout;
  layout.shape = question.shape;
  layout.precision = question.precision;
  layout.context = question.context;
  layout.batch_sequences = std::max<int64_t>(
      1, std::llround(question.batch_tokens / static_cast<double>(question.context)));
  layout.accelerators = execution.accelerators_allowed;
  layout.given = question.layout;
  LR_ASSIGN_OR_RETURN(execution.layout, ChooseLayout(layout, cluster));
  execution.accelerators = execution.layout.layout.accelerators();
  execution.training_flop =
      question.tokens * TrainingFlopPerToken(question.shape, question.params, question.context);
  execution.steps =
      std::max(1.0, question.tokens /
                        static_cast<double>(execution.layout.batch_sequences * question.context));
  execution.busy_seconds = execution.training_flop / (static_cast<double>(execution.accelerators) *
                                                      cluster.peak_flops * execution.layout.mfu);
  execution.failures = FailuresOf(question, cluster, execution);
  execution.seconds = execution.busy_seconds / execution.failures.share;
  execution.failures.expected = execution.seconds / execution.failures.mtbf_seconds;
  AddPowerAndCost(cluster, execution);
  AddServing(question, cluster, execution);
  return execution;
}

}  // namespace longrun::scaling
