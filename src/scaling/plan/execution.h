// A given training on a given cluster: how it is cut, how long it takes with its failures, what it
// draws and costs. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/plan/cluster.h"
#include "scaling/plan/failures.h"
#include "scaling/plan/layout.h"
#include "scaling/plan/memory.h"
#include "scaling/plan/model.h"

namespace longrun::scaling {

struct ExecutionQuestion {
  ModelShape shape;
  double params = 0;  // as the law counts them: 6 FLOP each a token
  double tokens = 0;
  int64_t context = 0;
  double batch_tokens = 0;  // of a step, about
  Precision precision;
  double spares_confidence = 0.99;
  std::optional<double> accelerators;  // that compute, at most; else what the cluster has
  std::optional<double> watts;         // of the facility, at most
  std::optional<Layout> layout;        // this one, but for its micro-batches
};

struct Failures {
  double mtbf_seconds = 0;
  double restart_seconds = 0;     // detection included
  double checkpoint_seconds = 0;  // weights and optimizer state, over the storage's bandwidth
  double young_seconds = 0;
  double interval_seconds = 0;  // Daly's, taken
  double share_formula = 0;     // EffectiveShare
  double share = 0;             // EffectiveShareExact, taken
  double expected = 0;          // interruptions until the last step
  int64_t spare_nodes = 0;      // held as well
};

struct Execution {
  LayoutChoice layout;
  int64_t accelerators = 0;          // that compute
  int64_t accelerators_allowed = 0;  // that could: the cluster's, less spares, within the limits
  double training_flop = 0;          // attention included
  double steps = 0;
  double busy_seconds = 0;  // without failures
  double seconds = 0;       // with them
  Failures failures;
  double peak_watts = 0;             // of the facility, spares included
  double energy_kwh = 0;             // of the facility, spares included
  std::optional<double> cost;        // in price.currency, spares included
  int64_t serving_accelerators = 0;  // fewest that hold weights and a sequence; 0: all do not
  ServingMemory serving;
};

// FailedPrecondition where it does not fit in memory, or no node is allowed.
absl::StatusOr<Execution> Execute(const ExecutionQuestion& question, const Cluster& cluster);

// Nodes that compute when `nodes` are held in all, the rest waiting as spares.
int64_t NodesBesideSpares(int64_t nodes, const Cluster& cluster, double confidence);

// Tokens of a step beyond which more of them hardly save steps: 2e8 / L^(1/0.21) (Kaplan et al.
// 2020, equation 1.4).
double CriticalBatchTokens(double loss);

}  // namespace longrun::scaling
