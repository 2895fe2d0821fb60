#include "scaling/forecast/registration.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace longrun::scaling {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kWhat[] = "longrun prediction";
constexpr int kVersion = 1;

// JSON knows no NaN: what is unknown is null.
Json NumberJson(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json VectorJson(const Vector& v) {
  Json out = Json::array();
  for (const double value : v) out.push_back(NumberJson(value));
  return out;
}

Json PointJson(const Point& point) {
  Json json;
  for (const Quantity quantity : kQuantities) {
    json[std::string(QuantityName(quantity))] = NumberJson(point.Get(quantity));
  }
  return json;
}

Json ForecastJson(const Forecast& forecast) {
  Json draws = Json::array(), alternatives = Json::array(), scores = Json::array();
  for (const Vector& draw : forecast.draws) draws.push_back(VectorJson(draw));
  for (const AlternativeLaw& other : forecast.alternatives) {
    alternatives.push_back(
        {{"law", std::string(other.law->name())}, {"parameters", VectorJson(other.parameters)}});
  }
  for (const ScoreDistribution::Score& score : forecast.scores.scores()) {
    scores.push_back(Json::array({score.value, score.weight}));
  }
  return {{"law", std::string(forecast.law->name())},
          {"formula", std::string(forecast.law->formula())},
          {"parameters", VectorJson(forecast.parameters)},
          {"noise", forecast.noise},
          {"points", forecast.points},
          {"calibration_cuts", forecast.calibration_cuts},
          {"compute", Json::array({forecast.least_compute, forecast.most_compute})},
          {"tokens_per_param", Json::array({forecast.least_ratio, forecast.most_ratio})},
          {"alternatives", alternatives},
          {"scores", scores},
          {"resamples", draws}};
}

Json ShapeJson(const std::optional<CurveShape>& shape) {
  if (!shape) return nullptr;
  Json knots = Json::array();
  for (const CurveShape::Knot& knot : shape->knots) {
    knots.push_back(Json::array({knot.fraction, knot.gap, knot.deviation}));
  }
  return {{"runs", shape->runs}, {"knots", knots}};
}

Json PredictionJson(const LossPrediction& prediction) {
  Json intervals;
  for (size_t i = 0; i < kForecastLevels.size(); ++i) {
    intervals[absl::StrCat(std::lround(100 * kForecastLevels[i]))] =
        Json::array({prediction.ranges[i].lo, prediction.ranges[i].hi});
  }
  return {{"run", PointJson(prediction.point)},
          {"loss", prediction.loss},
          {"intervals", intervals},
          {"orders_beyond", prediction.orders_beyond},
          {"warnings", prediction.warnings}};
}

double NumberOf(const Json& json) { return json.is_null() ? kUnknown : json.get<double>(); }

Vector VectorOf(const Json& json) {
  const std::vector<double> values = json.get<std::vector<double>>();
  if (values.empty() || values.size() > kMaxParameters)
    throw Json::out_of_range::create(401, "a vector of parameters has an impossible length", &json);
  return Eigen::Map<const Eigen::VectorXd>(values.data(), static_cast<int64_t>(values.size()));
}

const Law* LawOf(const Json& json) {
  const absl::StatusOr<const Law*> law = FindLaw(json.get<std::string>());
  if (!law.ok()) {
    throw Json::other_error::create(501, std::string(law.status().message()), &json);
  }
  return *law;
}

Forecast ForecastOf(const Json& json) {
  Forecast forecast;
  forecast.law = LawOf(json.at("law"));
  forecast.parameters = VectorOf(json.at("parameters"));
  forecast.noise = json.at("noise").get<double>();
  forecast.points = json.at("points").get<int>();
  forecast.calibration_cuts = json.at("calibration_cuts").get<int>();
  forecast.least_compute = json.at("compute").at(0).get<double>();
  forecast.most_compute = json.at("compute").at(1).get<double>();
  forecast.least_ratio = json.at("tokens_per_param").at(0).get<double>();
  forecast.most_ratio = json.at("tokens_per_param").at(1).get<double>();
  for (const Json& other : json.at("alternatives")) {
    forecast.alternatives.push_back({LawOf(other.at("law")), VectorOf(other.at("parameters"))});
  }
  for (const Json& score : json.at("scores")) {
    const double value = score.at(0).get<double>(), weight = score.at(1).get<double>();
    if (!(value >= 0) || !(weight > 0)) {
      throw Json::other_error::create(501, "a score below 0", &json);
    }
    forecast.scores.Add(value, weight);
  }
  for (const Json& draw : json.at("resamples")) forecast.draws.push_back(VectorOf(draw));
  return forecast;
}

std::optional<CurveShape> ShapeOf(const Json& json) {
  if (json.is_null()) return std::nullopt;
  CurveShape shape;
  shape.runs = json.at("runs").get<int>();
  for (const Json& knot : json.at("knots")) {
    shape.knots.push_back(
        {knot.at(0).get<double>(), knot.at(1).get<double>(), knot.at(2).get<double>()});
  }
  if (shape.knots.empty()) return std::nullopt;
  return shape;
}

LossPrediction PredictionOf(const Json& json) {
  LossPrediction prediction;
  for (const Quantity quantity : kQuantities) {
    const std::string name(QuantityName(quantity));
    prediction.point.Set(quantity, NumberOf(json.at("run").at(name)));
  }
  prediction.loss = json.at("loss").get<double>();
  for (const double level : kForecastLevels) {
    const Json& range = json.at("intervals").at(absl::StrCat(std::lround(100 * level)));
    prediction.ranges.push_back({range.at(0).get<double>(), range.at(1).get<double>()});
  }
  prediction.orders_beyond = json.at("orders_beyond").get<double>();
  prediction.warnings = json.at("warnings").get<std::vector<std::string>>();
  return prediction;
}

Registration RegistrationOf(const Json& json) {
  Registration registration;
  registration.registered = json.at("registered").get<std::string>();
  const Json& data = json.at("data");
  registration.source.file = data.at("file").get<std::string>();
  registration.source.hash = data.at("hash").get<std::string>();
  registration.source.rows = data.at("rows").get<int64_t>();
  registration.source.other_rows = data.at("other_rows").get<int64_t>();
  registration.source.options = data.at("options").get<std::vector<std::string>>();
  registration.fit_made = data.at("fit_made").get<std::string>();
  registration.forecast = ForecastOf(json.at("forecast"));
  registration.prediction = PredictionOf(json.at("prediction"));
  registration.prediction.spread = SpreadAt(registration.forecast, registration.prediction.point);
  registration.shape = ShapeOf(json.at("curve_shape"));
  return registration;
}

}  // namespace

std::string WriteRegistration(const Registration& registration) {
  const DataSource& source = registration.source;
  const Json json{{"what", kWhat},
                  {"version", kVersion},
                  {"registered", registration.registered},
                  {"prediction", PredictionJson(registration.prediction)},
                  {"data",
                   {{"file", source.file},
                    {"hash", source.hash},
                    {"rows", source.rows},
                    {"other_rows", source.other_rows},
                    {"options", source.options},
                    {"fit_made", registration.fit_made}}},
                  {"curve_shape", ShapeJson(registration.shape)},
                  {"forecast", ForecastJson(registration.forecast)}};
  return json.dump() + "\n";
}

absl::StatusOr<Registration> ReadRegistration(const std::string& text, const std::string& name) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("what") || json["what"] != kWhat) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": this is no registered prediction; longrun predict FIT --register writes one"));
  }
  if (!json.contains("version") || json["version"] != kVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": another version's; ", kVersion, " can be read"));
  }
  try {
    Registration registration = RegistrationOf(json);
    const size_t size = registration.forecast.law->parameters().size();
    bool fits = static_cast<size_t>(registration.forecast.parameters.size()) == size;
    for (const Vector& draw : registration.forecast.draws) {
      fits = fits && static_cast<size_t>(draw.size()) == size;
    }
    for (const AlternativeLaw& other : registration.forecast.alternatives) {
      fits = fits && static_cast<size_t>(other.parameters.size()) == other.law->parameters().size();
    }
    if (fits && registration.prediction.spread.total() > 0) return registration;
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": the numbers are not those of its law; was it edited?"));
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", error.what()));
  }
}

}  // namespace longrun::scaling
