// What was measured: a point is one loss of one run, with the sizes that led to it. Plain values;
// any thread.
#pragma once

#include <array>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace longrun::scaling {

// What a law may read from a point besides the loss.
enum class Quantity { kParams, kTokens, kCompute, kExperts };
inline constexpr std::array<Quantity, 4> kQuantities{Quantity::kParams, Quantity::kTokens,
                                                     Quantity::kCompute, Quantity::kExperts};
// "params", "tokens", "compute", "experts": as flags and files call them.
std::string_view QuantityName(Quantity quantity);

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
// Training takes 6 FLOP per parameter and token (Kaplan et al. 2020, section 2.1).
inline constexpr double kFlopPerParamToken = 6;

struct Point {
  double params = kUnknown;   // N
  double tokens = kUnknown;   // D, tokens trained on
  double compute = kUnknown;  // C, FLOP of the training
  double experts = kUnknown;  // of a routed model
  double loss = kUnknown;     // nats per token; above 0
  int run = 0;                // points of one run are not independent: they share this number
  int line = 0;               // of the file it came from, from 1; 0: from no file

  double Get(Quantity quantity) const;  // kUnknown where it was not given
  void Set(Quantity quantity, double value);
};

using Points = std::vector<Point>;

// Where two of N, D and C are known, the third by C = 6·N·D.
void FillByCompute(Points& points);

}  // namespace longrun::scaling
