// What a fit says of a run that nobody has made: its loss, and intervals that hold as often as they
// say. Values; any thread.
//
// The error of ln L has three parts, added as variances:
//   parameters   the spread of the law's loss over bootstrap refits
//   noise        one run about the law: the residuals, widened for the parameters fitted
//   form         how far another law that fits about as well foretells something else
// Their sum is scaled by how far off it was when the same was done with the larger runs held out
// (ScoreDistribution), though never below what the noise makes by itself: no run is foretold better
// than runs repeat. A bootstrap of the parameters alone is far too sure of itself.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/fit/fit.h"
#include "scaling/forecast/conformal.h"
#include "scaling/range.h"

namespace longrun::scaling {

inline const std::vector<double> kForecastLevels{0.5, 0.8, 0.95};

struct AlternativeLaw {
  const Law* law = nullptr;
  Vector parameters;  // natural
};

// All that predictions need; what a FIT file holds.
struct Forecast {
  const Law* law = nullptr;
  Vector parameters;          // natural
  std::vector<Vector> draws;  // of the bootstrap
  double noise = 0;           // standard deviation of ln L of one run
  std::vector<AlternativeLaw> alternatives;
  ScoreDistribution scores;
  int calibration_cuts = 0;  // at which larger runs were held out to get the scores
  int points = 0;
  double least_compute = 0;  // of the runs fitted, FLOP; of the law's own quantity where it is not
  double most_compute = 0;   // known
  double least_ratio = 0;    // tokens per parameter; 0: not known
  double most_ratio = 0;
};

struct LossSpread {  // standard deviations of ln L
  double parameters = 0;
  double noise = 0;
  double form = 0;
  double total() const { return std::sqrt(parameters * parameters + noise * noise + form * form); }
};

struct LossPrediction {
  Point point;  // what was asked for; where only the compute was, the optimal N and D too
  double loss = 0;
  LossSpread spread;
  std::vector<Range> ranges;  // of kForecastLevels
  double orders_beyond = 0;   // log10 of the compute over the largest run's; below 0: within
  std::vector<std::string> warnings;
};

// What counts as a run's size: its compute, or what the law reads where that is not known.
double SizeOf(const Law& law, const Point& point);

// The spread of ln L at a point.
LossSpread SpreadAt(const Forecast& forecast, const Point& point);

// In ln L to each side, of the interval that holds with probability `level`.
double HalfWidth(const Forecast& forecast, const LossSpread& spread, double level);
// The probability that ln L is off by `off` or more, to either side.
double ProbabilityBeyond(const Forecast& forecast, const LossSpread& spread, double off);

// OutOfRange outside the law's domain: sizes that are not above 0, a run more than 10,000 times
// larger than the largest fitted or 10 times smaller than the smallest, tokens per parameter 10
// times beyond those fitted. InvalidArgument where the law cannot read the point.
absl::StatusOr<LossPrediction> Predict(const Forecast& forecast, Point point);

// The probability that a run at the prediction's point ends at most at `loss`.
double ProbabilityBelow(const Forecast& forecast, const LossPrediction& prediction, double loss);

}  // namespace longrun::scaling
