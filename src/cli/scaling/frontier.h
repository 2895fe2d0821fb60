// `longrun fit --law isoflop` and `--law envelope`: the best sizes by compute without a law of the
// loss.
#pragma once

#include <string>
#include <vector>

#include "cli/scaling/points_input.h"

namespace longrun::cli {

struct FrontierFlags {
  PointFlags points;
  std::string method;           // isoflop, envelope
  std::vector<double> budgets;  // FLOP; empty: ten times the largest run
  int resamples = 0;
  uint64_t seed = 1;
  bool json = false;
};

// The exit code, with all printed.
int FitFrontier(const FrontierFlags& flags);

}  // namespace longrun::cli
