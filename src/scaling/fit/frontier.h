// The compute-optimal sizes without a law of the loss: which N was best at each compute, and the
// power laws N = k·C^a and D = C/(6·N) through those. Two ways to find them, each in its own file:
//   IsoFlop    a parabola in ln N through the losses at each compute (Hoffmann et al. 2022,
//              approach 2): for grids of sizes at a few computes
//   Envelope   the runs that no cheaper run beats (their approach 1): for training curves
// Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/fit/bootstrap.h"
#include "scaling/runs/points.h"

namespace longrun::scaling {

// The best size at one compute.
struct FrontierPoint {
  double compute = 0;  // FLOP
  double params = 0;
  double tokens = 0;
  double loss = 0;
  int runs = 0;           // that it was found from
  double off_centre = 0;  // where it lies among their sizes: 0 in the middle of ln N, ±1 at an end
};

// Runs at one compute that give no best size.
struct LeftOut {
  double compute = 0;
  int runs = 0;
  std::string why;
};

struct Frontier {
  std::vector<FrontierPoint> points;  // by compute
  std::vector<LeftOut> left_out;
  double log_k = 0;        // ln N = log_k + exponent·ln C
  double exponent = 0;     // a
  double log_scatter = 0;  // standard deviation of ln N about the line
  std::vector<std::string> warnings;

  Allocation Optimal(double compute_flop) const;  // loss unknown
  // The compute for which N is the best size.
  double ComputeFor(double params) const;
};

// `tolerance`: runs belong to one compute while the next dearer one is at most this part dearer.
// Every point has N and C. An error where fewer than 3 computes give a best size.
absl::StatusOr<Frontier> IsoFlop(const Points& points, double tolerance = 0.06);

// `per_decade`: into how many bins a decade of compute is parted; the best run of each counts,
// where no cheaper run is better.
absl::StatusOr<Frontier> Envelope(const Points& points, int per_decade = 8);

enum class FrontierMethod { kIsoFlop, kEnvelope };

// The frontier again on resamples: of the runs within each compute for IsoFlop, of whole runs
// (Point::run) for Envelope. Resamples that give no frontier are left out. From the seed alone.
std::vector<Frontier> ResampleFrontier(FrontierMethod method, const Points& points, int resamples,
                                       uint64_t seed);

// Fits log_k and exponent to `points`; adds to warnings.
void FitGrowth(Frontier& frontier);

}  // namespace longrun::scaling
