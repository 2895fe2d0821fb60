// Models with a loss and a benchmark result, from CSV. Pure; one thread for a stream.
#pragma once

#include <istream>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "scaling/benchmarks/decay_law.h"
#include "scaling/benchmarks/downstream.h"

namespace longrun::scaling {

struct DownstreamColumns {
  std::string loss = "loss";
  std::string accuracy = "accuracy";
  std::string error;    // where not empty: accuracy is 1 less this column
  std::string compute;  // of the training, FLOP; empty: no first step
  // Rows are read where each of these columns holds this text.
  std::vector<std::pair<std::string, std::string>> where;
};

struct DownstreamData {
  std::vector<DownstreamPoint> points;
  std::vector<DecayPoint> losses;  // loss by compute, of rows that have one
};

// `name`: how messages call the stream.
absl::StatusOr<DownstreamData> ReadDownstream(std::istream& in, const std::string& name,
                                              const DownstreamColumns& columns);

}  // namespace longrun::scaling
