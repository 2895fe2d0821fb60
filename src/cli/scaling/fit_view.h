// How a fit is shown: to people as tables, to programs as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "scaling/fit/fit_file.h"
#include "scaling/fit/optimum.h"
#include "scaling/fit/sensitivity.h"

namespace longrun::cli {

struct FitAnswer {
  scaling::FitRecord record;
  std::vector<std::string> read_as;
  std::vector<std::string> warnings;  // of the data; the fit has its own
  std::vector<scaling::OptimumEstimate> optima;
  std::optional<scaling::ExponentEstimate> growth;
  std::vector<scaling::VariantResult> sensitivity;
  double seconds = 0;            // from the file to the parameters
  double bootstrap_seconds = 0;  // of all resamples
};

nlohmann::ordered_json FitJson(const FitAnswer& answer);

// {"50": [low, high], …}
nlohmann::ordered_json IntervalsJson(const std::vector<scaling::Interval>& intervals);
nlohmann::ordered_json DroppedJson(const std::vector<scaling::Dropped>& dropped);
// Which columns were read and which rows left out: lines.
std::string RowsText(const std::vector<std::string>& read_as, const scaling::DataSource& source,
                     const std::vector<scaling::Dropped>& dropped);

// Several lines. A fit that is refused shows no parameters, but why, and what to measure next.
std::string FitText(const FitAnswer& answer);

}  // namespace longrun::cli
