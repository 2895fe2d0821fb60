// Problems grouped by difficulty: a law for each group, and what it foretells as the pass rate that
// a person reads. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/benchmarks/decay_law.h"
#include "scaling/benchmarks/pass_rate.h"

namespace longrun::scaling {

// What a group foretells of a model.
struct RatePrediction {
  double neg_log = 0;           // −E[log p]
  double pass_rate = 0;         // E[p]
  std::vector<Range> neg_logs;  // of the levels asked for
  std::vector<Range> pass_rates;
};

struct ProblemGroup {
  std::vector<size_t> problems;  // numbers in the table
  // Mean −log p of its easiest and its hardest problem over all models.
  double easiest = 0;
  double hardest = 0;
  // Each problem's −log p over the group's, the mean of all models: 1 on average.
  std::vector<double> shapes;
  std::vector<ModelRates> models;  // by compute, over these problems
  std::optional<DecayLaw> law;
  // Why there is none, or why not to use it; empty: it can be trusted.
  std::string distrust;

  // E[p] of the group where −E[log p] is `neg_log`. The mean of p is not exp of the mean of log p;
  // the law moves all problems of a group in proportion, so p_i = exp(−neg_log · shape_i).
  double PassRateAt(double neg_log) const;
  // Requires `law`.
  RatePrediction Predict(double compute_flop, const std::vector<double>& levels) const;
};

// All problems that count as one group.
ProblemGroup WholeGroup(const AttemptTable& table, const PassRates& rates);
// As equal parts as can be, the easiest first; fewer than `buckets` where problems are too few.
std::vector<ProblemGroup> BucketByDifficulty(const AttemptTable& table, const PassRates& rates,
                                             int buckets);

}  // namespace longrun::scaling
