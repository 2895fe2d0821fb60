// Would the forecast have held? For a ladder of compute cuts: fit the runs below, foretell those
// above, and count how often the intervals held. Deterministic; any thread.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/forecast/calibration.h"

namespace longrun::scaling {

struct BacktestRun {
  Point point;
  double foretold = 0;       // loss
  double error = 0;          // ln reached − ln foretold
  double orders_beyond = 0;  // log10 of its compute over the largest fitted
  double half_width80 = 0;   // of the 80 % interval, in ln L
  std::vector<bool> held;    // by level of kForecastLevels
};

struct BacktestCut {
  double cut = 0;                 // compute, FLOP
  int fitted = 0;                 // runs below
  std::string refused;            // why there is no forecast from these; the rest is then empty
  std::vector<BacktestRun> runs;  // above, the largest last

  double MedianError() const;  // of |error|
  double MeanError() const;    // with its sign: above 0, runs came out worse than foretold
  double Coverage(size_t level) const;
};

struct Backtest {
  std::vector<BacktestCut> cuts;
  int forecasts = 0;  // runs foretold, over all cuts
  // Over all runs of all cuts.
  double MedianError() const;
  double Coverage(size_t level) const;
  // Of the largest run, over the cuts that foretold it: the mean of |error|.
  double LargestError() const;
};

// `cuts` in FLOP; empty: three a decade, from where the law can first be fitted. InvalidArgument
// where no cut leaves runs on both sides.
absl::StatusOr<Backtest> RunBacktest(const Law& law, const Points& points,
                                     const std::vector<double>& cuts,
                                     const CalibrationOptions& options);

}  // namespace longrun::scaling
