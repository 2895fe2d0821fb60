#include "cli/scaling/predictions.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/units.h"
#include "cli/state_folder.h"
#include "fleet/manifest.h"

namespace longrun::cli {

using Json = nlohmann::ordered_json;

absl::StatusOr<std::string> PredictionOfRun(const std::string& state, const std::string& run) {
  LR_RETURN_IF_ERROR(fleet::CheckRunName(run));
  LR_ASSIGN_OR_RETURN(const StateFolder folder, FindStateFolder(state));
  return absl::StrCat(folder.path, "/predictions/", run, ".json");
}

std::string RunInWords(const scaling::Point& point) {
  std::vector<std::string> parts;
  if (point.params > 0) parts.push_back(FormatQuantity(point.params) + " parameters");
  if (point.tokens > 0) parts.push_back(FormatQuantity(point.tokens) + " tokens");
  if (point.experts > 0) parts.push_back(absl::StrFormat("%.0f experts", point.experts));
  if (point.compute > 0) parts.push_back(absl::StrFormat("%.3g FLOP", point.compute));
  return absl::StrJoin(parts, ", ");
}

Json PredictionJson(const scaling::Registration& registration) {
  const scaling::Forecast& forecast = registration.forecast;
  const scaling::LossPrediction& prediction = registration.prediction;
  Json run;
  for (const scaling::Quantity quantity : scaling::kQuantities) {
    const double value = prediction.point.Get(quantity);
    if (std::isfinite(value)) run[std::string(QuantityName(quantity))] = value;
  }
  Json intervals;
  for (size_t i = 0; i < prediction.ranges.size(); ++i) {
    intervals[absl::StrCat(std::lround(100 * scaling::kForecastLevels[i]))] =
        Json::array({prediction.ranges[i].lo, prediction.ranges[i].hi});
  }
  return {{"law", std::string(forecast.law->name())},
          {"run", run},
          {"loss", prediction.loss},
          {"intervals", intervals},
          {"spread",
           {{"parameters", prediction.spread.parameters},
            {"noise", prediction.spread.noise},
            {"form", prediction.spread.form},
            {"scale80", HalfWidth(forecast, prediction.spread, 0.8) / prediction.spread.total()},
            {"calibration_cuts", forecast.calibration_cuts}}},
          {"orders_beyond", prediction.orders_beyond},
          {"warnings", prediction.warnings},
          {"registered", registration.registered},
          {"data", {{"file", registration.source.file}, {"hash", registration.source.hash}}}};
}

}  // namespace longrun::cli
