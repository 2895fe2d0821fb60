// Ladders of runs whose law is known, with noise like that of real ones.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/random.h"
#include "scaling/runs/points.h"

namespace longrun::scaling {

// L(N, D) = 1.8 + 0.35·(N/1e9)^(−0.34) + 0.35·(D/2e10)^(−0.37).
inline double KnownLoss(double params, double tokens) {
  return 1.8 + 0.35 * std::pow(params / 1e9, -0.34) + 0.35 * std::pow(tokens / 2e10, -0.37);
}

inline Point KnownRun(double compute, double tokens_per_param, double log_noise) {
  Point point;
  point.params = std::sqrt(compute / (kFlopPerParamToken * tokens_per_param));
  point.tokens = tokens_per_param * point.params;
  point.compute = compute;
  point.loss = KnownLoss(point.params, point.tokens) * std::exp(log_noise);
  return point;
}

// 7 computes from 1e18 to 1e21 FLOP with 6 sizes each; ln L is noisy by `noise`.
inline Points KnownLadder(double noise, uint64_t seed) {
  Random random(seed);
  Points points;
  for (int c = 0; c < 7; ++c) {
    for (int m = 0; m < 6; ++m) {
      points.push_back(KnownRun(std::pow(10, 18 + 0.5 * c), 20 * std::pow(10, -0.8 + 0.35 * m),
                                noise * random.Normal()));
      points.back().run = static_cast<int>(points.size());
    }
  }
  return points;
}

}  // namespace longrun::scaling
