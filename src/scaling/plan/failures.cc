#include "scaling/plan/failures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace longrun::scaling {

double MeanSecondsBetweenFailures(double nodes, double failures_per_1000_node_days) {
  LR_CHECK_GT(nodes, 0);
  LR_CHECK_GT(failures_per_1000_node_days, 0);
  return 86400 * 1000 / (nodes * failures_per_1000_node_days);
}

double YoungInterval(double cost_seconds, double mtbf_seconds) {
  return std::sqrt(2 * cost_seconds * mtbf_seconds);
}

double DalyInterval(double cost_seconds, double mtbf_seconds) {
  if (cost_seconds >= 2 * mtbf_seconds) return mtbf_seconds;
  const double ratio = cost_seconds / (2 * mtbf_seconds);
  return YoungInterval(cost_seconds, mtbf_seconds) * (1 + std::sqrt(ratio) / 3 + ratio / 9) -
         cost_seconds;
}

double EffectiveShare(const FailureCosts& costs) {
  const double lost = (costs.restart_seconds + costs.interval_seconds / 2) / costs.mtbf_seconds;
  return std::max(0.0, 1 - lost) / (1 + costs.checkpoint_seconds / costs.interval_seconds);
}

double EffectiveShareExact(const FailureCosts& costs) {
  const double m = costs.mtbf_seconds;
  return costs.interval_seconds /
         (m * std::exp(costs.restart_seconds / m) *
          std::expm1((costs.interval_seconds + costs.checkpoint_seconds) / m));
}

double ColdRestartSeconds(double accelerators) {
  constexpr std::array<std::pair<double, double>, 4> kPublished{
      {{16e3, 200}, {22e3, 300}, {64e3, 600}, {98e3, 900}}};
  if (accelerators <= kPublished[0].first) return kPublished[0].second;
  size_t i = 1;
  while (i + 1 < kPublished.size() && accelerators > kPublished[i].first) ++i;
  const auto [x0, y0] = kPublished[i - 1];
  const auto [x1, y1] = kPublished[i];
  return y0 + (y1 - y0) * (accelerators - x0) / (x1 - x0);
}

int64_t SparesFor(int64_t nodes, double down, double confidence) {
  LR_CHECK_GE(down, 0);
  LR_CHECK_LT(down, 1);
  LR_CHECK_GT(confidence, 0);
  LR_CHECK_LT(confidence, 1);
  if (down == 0) return 0;
  // Each term from the one before: P(k) = P(k − 1) · (n − k + 1)/k · p/(1 − p). Logs, because the
  // first underflows in a large fleet.
  const double log_odds = std::log(down) - std::log1p(-down);
  double log_term = static_cast<double>(nodes) * std::log1p(-down);
  double below = std::exp(log_term);
  int64_t spares = 0;
  while (below < confidence && spares < nodes) {
    ++spares;
    log_term += std::log(static_cast<double>(nodes - spares + 1) / spares) + log_odds;
    below += std::exp(log_term);
  }
  return spares;
}

}  // namespace longrun::scaling
