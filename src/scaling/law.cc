#include "scaling/law.h"

#include <cmath>

namespace longrun::scaling {

double Law::Loss(const Vector& natural, const Point& point) const {
  for (const Quantity quantity : reads()) {
    if (!(point.Get(quantity) > 0)) return kUnknown;
  }
  const Features origin = Features::Zero();
  return std::exp(LogLoss(FeaturesOf(point), FromNatural(natural, origin), nullptr, nullptr));
}

}  // namespace longrun::scaling
