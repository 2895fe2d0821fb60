// Loss curves from CSV. Pure; one thread for a stream.
#pragma once

#include <istream>
#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/forecast/curve.h"

namespace longrun::scaling {

inline constexpr size_t kMostCurvePoints = 10'000'000;

// Names of the columns.
struct CurveColumns {
  std::string tokens = "tokens";  // trained on so far
  std::string loss = "loss";
  // Where above 0: `tokens` names the column of the step instead, and each step has so many.
  double tokens_per_step = 0;
  // For curves of several runs.
  std::string run = "run";
  std::string params = "params";
};

// One run's. Rows in any order; of rows with the same tokens the last one counts, as after a
// restart. `name`: how messages call the stream.
absl::StatusOr<Curve> ReadCurve(std::istream& in, const std::string& name,
                                const CurveColumns& columns);

// Of several finished runs: a run's planned tokens are its last.
absl::StatusOr<std::vector<RunCurve>> ReadRunCurves(std::istream& in, const std::string& name,
                                                    const CurveColumns& columns);

}  // namespace longrun::scaling
