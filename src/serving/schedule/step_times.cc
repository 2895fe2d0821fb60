#include "serving/schedule/step_times.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"

namespace longrun::serving {

void StepTimes::Add(int64_t tokens, double seconds) {
  LR_CHECK_GT(tokens, 0);
  if (!(seconds > 0)) return;  // below the clock's resolution
  const size_t index =
      std::min<size_t>(classes_.size() - 1, std::bit_width(static_cast<uint64_t>(tokens)) - 1);
  Class& c = classes_[index];
  if (c.steps == 0) ++seen_classes_;
  c.steps = std::min(32.0, c.steps + 1);
  c.tokens += (static_cast<double>(tokens) - c.tokens) / c.steps;
  c.seconds += (seconds - c.seconds) / c.steps;
  Fit();
}

void StepTimes::Fit() {
  // Minimises the sum of ((fixed + slope * tokens) / seconds - 1)^2 over the classes.
  double s1 = 0, sx = 0, sxx = 0, sy = 0, sxy = 0;
  for (const Class& c : classes_) {
    if (c.steps == 0) continue;
    const double weight = 1 / (c.seconds * c.seconds);
    s1 += weight;
    sx += weight * c.tokens;
    sxx += weight * c.tokens * c.tokens;
    sy += weight * c.seconds;
    sxy += weight * c.tokens * c.seconds;
  }
  const double determinant = s1 * sxx - sx * sx;
  if (seen_classes_ < 2 || determinant <= 1e-12 * s1 * sxx) {
    line_ = {0, sy / sx};
    return;
  }
  double slope = (s1 * sxy - sx * sy) / determinant;
  double fixed = (sy - slope * sx) / s1;
  // Neither part can be negative: the other one then explains it all.
  if (slope < 0) slope = 0, fixed = sy / s1;
  if (fixed < 0) fixed = 0, slope = sxy / sxx;
  line_ = {fixed, slope};
}

double StepTimes::Seconds(int64_t tokens) const {
  return line_ ? line_->fixed_seconds + line_->seconds_per_token * static_cast<double>(tokens) : 0;
}

std::optional<int64_t> StepTimes::TokensWithin(double seconds) const {
  if (seen_classes_ < 2) return std::nullopt;
  if (line_->seconds_per_token <= 0) {
    return line_->fixed_seconds <= seconds ? int64_t{1} << 40 : 0;
  }
  const double tokens = (seconds - line_->fixed_seconds) / line_->seconds_per_token;
  return static_cast<int64_t>(std::clamp(std::floor(tokens), 0.0, 1e12));
}

}  // namespace longrun::serving
