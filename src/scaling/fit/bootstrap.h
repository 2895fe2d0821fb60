// How far the parameters would move with other data: the fit again, thousands of times, on
// resamples. The draws of resample i come from (seed, i) alone, so the result is the same bits for
// any number of threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scaling/fit/fit.h"

namespace longrun::scaling {

struct BootstrapOptions {
  enum class Kind {
    kCases,      // points, drawn with replacement (Efron 1979)
    kClusters,   // whole runs (Point::run): the checkpoints of one run are not independent
    kResiduals,  // the law's losses with residuals drawn onto them; the sizes stay
  };
  Kind kind = Kind::kCases;
  int resamples = 4000;
  uint64_t seed = 1;
  int threads = 1;
};

struct Bootstrap {
  BootstrapOptions::Kind kind = BootstrapOptions::Kind::kCases;
  uint64_t seed = 0;
  std::vector<Vector> parameters;  // natural; one a resample
  int at_bound = 0;  // resamples in which an exponent went to its bound; they are kept
};

struct Interval {
  double level = 0;  // 0.5, 0.8, 0.95
  double low = 0;
  double high = 0;
};
inline constexpr double kIntervalLevels[] = {0.5, 0.8, 0.95};

// `fit` is FitLaw's of these `points`. An error where clusters are asked for and there are fewer
// runs than parameters.
absl::StatusOr<Bootstrap> Resample(const Fit& fit, const Points& points,
                                   const BootstrapOptions& options);

// The quantile p of values in ascending order, linear between them (Hyndman and Fan 1996, type 7).
double Quantile(const std::vector<double>& ascending, double p);
// Central intervals of kIntervalLevels. The values that are not finite are left out.
std::vector<Interval> Intervals(std::vector<double> values);
double StandardDeviation(const std::vector<double>& values);

// Of natural parameter `index`, a value a resample.
std::vector<double> Spread(const Bootstrap& bootstrap, int index);

}  // namespace longrun::scaling
