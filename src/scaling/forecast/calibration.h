// From points to a Forecast: the fit, its resamples, other laws, and how far off the whole is when
// the larger runs are held out. Deterministic; any thread.
#pragma once

#include <vector>

#include "base/status.h"
#include "scaling/forecast/forecast.h"

namespace longrun::scaling {

struct CalibrationOptions {
  Objective objective;
  int resamples = 400;     // of the whole data
  int cut_resamples = 60;  // of the data below each inner cut
  bool calibrate = true;   // false: no runs are held out; the told error is believed
  bool by_run = false;     // resample whole runs (Point::run)
  uint64_t seed = 1;
  int threads = 1;
};

// FailedPrecondition where the fit cannot be trusted: why, and what to measure next.
absl::StatusOr<Forecast> MakeForecast(const Law& law, const Points& points,
                                      const CalibrationOptions& options);

// The same from a fit that was made already, of these points.
absl::StatusOr<Forecast> MakeForecast(const Fit& fit, const Points& points,
                                      const CalibrationOptions& options);

// Points of at most `size` (SizeOf) and those above it.
struct Split {
  Points below;
  Points above;
};
Split SplitBySize(const Law& law, const Points& points, double size);

}  // namespace longrun::scaling
