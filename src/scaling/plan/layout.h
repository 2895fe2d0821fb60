// Cuts a model over the accelerators of a cluster: the data × tensor × pipeline layout that fits in
// memory and trains fastest, by how much of the time each kind of parallelism wastes. Pure; any
// thread.
//
// Assumed: one sequence a micro-batch; tensor parallelism within a node alone; gradients and
// parameters travel beside the arithmetic, and cost only what exceeds it.
#pragma once

#include <cstdint>
#include <optional>

#include "base/status.h"
#include "scaling/plan/cluster.h"
#include "scaling/plan/memory.h"
#include "scaling/plan/model.h"

namespace longrun::scaling {

// Time lost, as shares of the time that the arithmetic takes. All at least 0.
struct LayoutOverhead {
  double bubble = 0;     // stages that wait: (p − 1)/(v·m), Narayanan et al. 2021, section 2.2
  double imbalance = 0;  // stages with a layer more than the mean
  double recompute = 0;  // a second forward pass: a third of the arithmetic
  double tensor = 0;     // collectives within layers, Narayanan et al. 2021, section 3.2
  double data = 0;       // gradients and parameters, what exceeds the arithmetic

  double slowdown() const {
    return (1 + bubble) * (1 + imbalance) * (1 + recompute) * (1 + tensor) * (1 + data);
  }
};

struct LayoutQuestion {
  ModelShape shape;
  Precision precision;
  int64_t context = 0;          // tokens of a sequence
  int64_t batch_sequences = 0;  // of a step, about; replicas are at most as many
  int64_t accelerators = 0;     // at most
  // This one, but for its micro-batches; chunks of 0 are as many as the layers allow.
  std::optional<Layout> given;
};

struct LayoutChoice {
  Layout layout;
  RankMemory memory;
  LayoutOverhead overhead;
  double mfu = 0;               // the measured one, corrected for the difference in slowdown
  int64_t nodes = 0;            // that hold it
  int64_t batch_sequences = 0;  // data · microbatches
};

LayoutOverhead OverheadOf(const LayoutQuestion& question, const Layout& layout,
                          const Cluster& cluster);
// What the measurement of `cluster.efficiency` had.
double MeasuredSlowdown(const Cluster& cluster);

// The fastest, its stages interleaved as finely as the layers allow. FailedPrecondition where
// nothing fits: what the leanest layout needs, and what there is.
absl::StatusOr<LayoutChoice> ChooseLayout(const LayoutQuestion& question, const Cluster& cluster);

}  // namespace longrun::scaling
