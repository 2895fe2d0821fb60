// What failures cost a synchronous run: how often they come, how often to write checkpoints, what
// part of the time is training, how many spare nodes to keep. Pure functions; any thread.
//
// All assume failures that come independently at one rate. Real ones come in bursts and on the same
// nodes, so the expected share is an optimist's where bad nodes are not taken out.
#pragma once

#include <cstdint>

namespace longrun::scaling {

// Of `nodes` nodes, any of which stops the run. Both > 0.
double MeanSecondsBetweenFailures(double nodes, double failures_per_1000_node_days);

// Checkpoint intervals that lose least, seconds of training between two checkpoints.
// `cost_seconds` δ > 0: what training stands still for one; `mtbf_seconds` M > 0.
// Young 1974: √(2δM).
double YoungInterval(double cost_seconds, double mtbf_seconds);
// Daly 2006: √(2δM)·[1 + ⅓√(δ/2M) + (δ/2M)/9] − δ for δ < 2M, else M.
double DalyInterval(double cost_seconds, double mtbf_seconds);

struct FailureCosts {
  double mtbf_seconds = 0;        // M
  double restart_seconds = 0;     // u₀: from the failure to the first step again
  double interval_seconds = 0;    // Δt
  double checkpoint_seconds = 0;  // w
};

// The expected share of the time that trains for the first time, to first order (Kokolis et al.
// 2024): (1 − (u₀ + Δt/2)/M) / (1 + w/Δt). Good while failures cost some percent; 0
// where it would be negative.
double EffectiveShare(const FailureCosts& costs);
// The same for exponential failures, to all orders, checkpoints and restarts too may fail (Daly
// 2006): Δt / (M·e^{u₀/M}·(e^{(Δt + w)/M} − 1)).
double EffectiveShareExact(const FailureCosts& costs);

// Seconds to restart a job cold on that many accelerators: 200, 300, 600 and 900 s were published
// for 16, 22, 64 and 98 thousand; between them linearly, 200 s below, beyond by the last slope.
double ColdRestartSeconds(double accelerators);

// Fewest spares such that with probability `confidence` no more than they are down at once, when
// each of `nodes` is down with probability `down`: a quantile of Binomial(nodes, down).
// down in [0, 1), confidence in (0, 1).
int64_t SparesFor(int64_t nodes, double down, double confidence);

}  // namespace longrun::scaling
