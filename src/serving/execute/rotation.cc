#include "serving/execute/rotation.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace longrun::serving {
namespace {

using Json = nlohmann::json;

absl::Status Wrong(const std::string& field, const std::string& what) {
  return absl::InvalidArgumentError("rope_scaling." + field + ": " + what);
}

absl::StatusOr<double> Positive(const Json& scaling, const char* field, double otherwise) {
  const auto it = scaling.find(field);
  if (it == scaling.end() || it->is_null()) {
    if (otherwise > 0) return otherwise;
    return Wrong(field, "a number above 0 is needed");
  }
  if (!it->is_number() || !(it->get<double>() > 0) || !std::isfinite(it->get<double>())) {
    return Wrong(field, "must be a number above 0");
  }
  return it->get<double>();
}

absl::StatusOr<std::string> TypeOf(const Json& scaling) {
  if (scaling.is_null()) return std::string("default");
  if (!scaling.is_object()) return absl::InvalidArgumentError("rope_scaling: must be an object");
  for (const char* field : {"rope_type", "type"}) {
    const auto it = scaling.find(field);
    if (it == scaling.end()) continue;
    if (!it->is_string()) return Wrong(field, "must be text");
    return it->get<std::string>();
  }
  return std::string("default");
}

// Waves longer than the first training's context / low_freq_factor are stretched by `factor`, those
// shorter than context / high_freq_factor are kept, and between them it is blended.
absl::Status StretchLongWaves(const Json& scaling, std::vector<double>* frequencies) {
  LR_ASSIGN_OR_RETURN(const double factor, Positive(scaling, "factor", 0));
  LR_ASSIGN_OR_RETURN(const double low, Positive(scaling, "low_freq_factor", 0));
  LR_ASSIGN_OR_RETURN(const double high, Positive(scaling, "high_freq_factor", 0));
  LR_ASSIGN_OR_RETURN(const double context,
                      Positive(scaling, "original_max_position_embeddings", 0));
  if (!(high > low)) return Wrong("high_freq_factor", "must be above low_freq_factor");
  for (double& frequency : *frequencies) {
    const double turns = context * frequency / (2 * M_PI);  // within the context
    if (turns > high) continue;
    const double blend = turns < low ? 0 : (turns - low) / (high - low);
    frequency = (1 - blend) * frequency / factor + blend * frequency;
  }
  return absl::OkStatus();
}

// YaRN: pairs that turn often keep their frequency, those that turn seldom are interpolated, with a
// ramp between; cosine and sine grow by the attention's temperature.
absl::Status Yarn(const Json& scaling, double theta, int64_t head_dim, int64_t context,
                  std::vector<double>* frequencies, float* magnitude) {
  for (const char* field : {"mscale", "mscale_all_dim"}) {
    if (scaling.contains(field) && !scaling[field].is_null()) {
      return Wrong(field, "is not supported");
    }
  }
  LR_ASSIGN_OR_RETURN(const double factor, Positive(scaling, "factor", 0));
  LR_ASSIGN_OR_RETURN(const double fast, Positive(scaling, "beta_fast", 32));
  LR_ASSIGN_OR_RETURN(const double slow, Positive(scaling, "beta_slow", 1));
  LR_ASSIGN_OR_RETURN(const double original, Positive(scaling, "original_max_position_embeddings",
                                                      static_cast<double>(context)));
  const double usual = factor <= 1 ? 1 : 0.1 * std::log(factor) + 1;
  LR_ASSIGN_OR_RETURN(const double temperature, Positive(scaling, "attention_factor", usual));
  *magnitude = static_cast<float>(temperature);
  const auto pair_turning = [&](double turns) {
    return static_cast<double>(head_dim) * std::log(original / (turns * 2 * M_PI)) /
           (2 * std::log(theta));
  };
  const bool whole = !scaling.contains("truncate") || scaling["truncate"] != false;
  double from = pair_turning(fast), to = pair_turning(slow);
  if (whole) from = std::floor(from), to = std::ceil(to);
  from = std::max(from, 0.0);
  to = std::min(to, static_cast<double>(head_dim - 1));
  if (from == to) to += 0.001;
  for (size_t i = 0; i < frequencies->size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - from) / (to - from), 0.0, 1.0);
    double& frequency = (*frequencies)[i];
    frequency = frequency / factor * ramp + frequency * (1 - ramp);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Rotation> MakeRotation(double theta, int64_t head_dim, int64_t context,
                                      const Json& scaling) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    frequencies.push_back(
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim)));
  }
  Rotation rotation;
  LR_ASSIGN_OR_RETURN(const std::string type, TypeOf(scaling));
  if (type == "linear") {
    LR_ASSIGN_OR_RETURN(const double factor, Positive(scaling, "factor", 0));
    for (double& frequency : frequencies) frequency /= factor;
  } else if (type == "llama3") {
    LR_RETURN_IF_ERROR(StretchLongWaves(scaling, &frequencies));
  } else if (type == "yarn") {
    LR_RETURN_IF_ERROR(Yarn(scaling, theta, head_dim, context, &frequencies, &rotation.magnitude));
  } else if (type == "dynamic") {
    // Frequencies sink with texts longer than the context, which are refused here.
    LR_RETURN_IF_ERROR(Positive(scaling, "factor", 0).status());
  } else if (type != "default") {
    return Wrong("rope_type",
                 "'" + type + "' is not supported; default, dynamic, linear, llama3 and yarn are");
  }
  rotation.frequencies.assign(frequencies.begin(), frequencies.end());
  return rotation;
}

}  // namespace longrun::serving
