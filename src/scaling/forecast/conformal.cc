#include "scaling/forecast/conformal.h"

#include <algorithm>

#include "base/check.h"
#include "scaling/distributions.h"

namespace longrun::scaling {

void ScoreDistribution::Add(double value, double weight) {
  LR_CHECK(value >= 0 && weight > 0);
  const auto at = std::upper_bound(scores_.begin(), scores_.end(), value,
                                   [](double v, const Score& score) { return v < score.value; });
  scores_.insert(at, {value, weight});
  weight_ += weight;
}

double ScoreDistribution::Below(double z) const {
  double below = kPriorWeight * (2 * NormalCdf(std::max(0.0, z)) - 1);
  for (const Score& score : scores_) {
    if (score.value > z) break;
    below += score.weight;
  }
  return below / (kPriorWeight + weight_);
}

double ScoreDistribution::Quantile(double level) const {
  LR_CHECK(level > 0 && level < 1);
  double lo = 0, hi = 1;
  while (Below(hi) < level) hi *= 2;
  for (int i = 0; i < 60; ++i) {
    const double middle = (lo + hi) / 2;
    (Below(middle) < level ? lo : hi) = middle;
  }
  return hi;
}

}  // namespace longrun::scaling
