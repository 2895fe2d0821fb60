// What predict and check share: where predictions of runs are kept, and how they are shown.
#pragma once

#include <string>

#include "base/status.h"
#include "nlohmann/json.hpp"
#include "scaling/forecast/registration.h"

namespace longrun::cli {

// The file of the prediction registered for a run: in `state` (--state), or where it is by default.
absl::StatusOr<std::string> PredictionOfRun(const std::string& state, const std::string& run);

// "70.0 B parameters, 1.40 T tokens, 5.88e+23 FLOP".
std::string RunInWords(const scaling::Point& point);

nlohmann::ordered_json PredictionJson(const scaling::Registration& registration);

}  // namespace longrun::cli
