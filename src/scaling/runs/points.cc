#include "scaling/runs/points.h"

#include <cmath>

#include "base/check.h"

namespace longrun::scaling {

std::string_view QuantityName(Quantity quantity) {
  switch (quantity) {
    case Quantity::kParams:
      return "params";
    case Quantity::kTokens:
      return "tokens";
    case Quantity::kCompute:
      return "compute";
    case Quantity::kExperts:
      return "experts";
  }
  LR_CHECK(false);
}

double Point::Get(Quantity quantity) const {
  switch (quantity) {
    case Quantity::kParams:
      return params;
    case Quantity::kTokens:
      return tokens;
    case Quantity::kCompute:
      return compute;
    case Quantity::kExperts:
      return experts;
  }
  LR_CHECK(false);
}

void Point::Set(Quantity quantity, double value) {
  switch (quantity) {
    case Quantity::kParams:
      params = value;
      return;
    case Quantity::kTokens:
      tokens = value;
      return;
    case Quantity::kCompute:
      compute = value;
      return;
    case Quantity::kExperts:
      experts = value;
      return;
  }
  LR_CHECK(false);
}

void FillByCompute(Points& points) {
  for (Point& p : points) {
    const bool n = !std::isnan(p.params);
    const bool d = !std::isnan(p.tokens);
    const bool c = !std::isnan(p.compute);
    if (n && d && !c) p.compute = kFlopPerParamToken * p.params * p.tokens;
    if (n && c && !d) p.tokens = p.compute / (kFlopPerParamToken * p.params);
    if (d && c && !n) p.params = p.compute / (kFlopPerParamToken * p.tokens);
  }
}

}  // namespace longrun::scaling
