// How far off predictions have been, in units of the error they told beforehand, and so how wide
// an interval must be to hold as often as it says (split conformal prediction: Vovk et al. 2005;
// Lei et al. 2018, with weights as in Barber et al. 2023). Plain values; any thread.
#pragma once

#include <vector>

namespace longrun::scaling {

// The distribution of |error| / told standard deviation: scores of held-out runs, mixed with the
// half-normal that the told error would mean, which weighs as kPriorWeight scores. With no scores
// it is the half-normal; with many it is theirs.
class ScoreDistribution {
 public:
  struct Score {
    double value = 0;  // ≥ 0
    double weight = 0;
  };
  // Set, with the weight of a held-out cut (calibration.cc), on synthetic laws of seeds that no
  // test and no benchmark uses.
  static constexpr double kPriorWeight = 5;

  void Add(double value, double weight);
  // P(score ≤ z).
  double Below(double z) const;
  // The smallest z with Below(z) ≥ level; 0 < level < 1.
  double Quantile(double level) const;
  // In ascending order.
  const std::vector<Score>& scores() const { return scores_; }

 private:
  std::vector<Score> scores_;
  double weight_ = 0;  // of all scores
};

}  // namespace longrun::scaling
