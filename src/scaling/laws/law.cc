#include "scaling/laws/law.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/nearest.h"

namespace longrun::scaling {

double Law::Loss(const Vector& natural, const Point& point) const {
  for (const Quantity quantity : reads()) {
    if (!(point.Get(quantity) > 0)) return kUnknown;
  }
  const Features origin = Features::Zero();
  return std::exp(LogLoss(FeaturesOf(point), FromNatural(natural, origin), nullptr, nullptr));
}

Allocation Law::WithLoss(const Vector& natural, Allocation best, double compute_flop) const {
  Point point;
  point.params = best.params;
  point.tokens = best.tokens;
  best.compute = compute_flop;
  best.loss = Loss(natural, point);
  return best;
}

const std::vector<const Law*>& AllLaws() {
  static const std::vector<const Law*> laws{
      &ChinchillaLaw(),  &KaplanLaw(),      &OvertrainingLaw(), &PowerComputeLaw(),
      &PowerParamsLaw(), &PowerTokensLaw(), &RoutedLaw()};
  return laws;
}

absl::StatusOr<const Law*> FindLaw(const std::string& name) {
  std::vector<std::string> names;
  for (const Law* law : AllLaws()) {
    if (law->name() == name) return law;
    names.emplace_back(law->name());
  }
  return absl::InvalidArgumentError(absl::StrCat("there is no law \"", name,
                                                 "\"; there are: ", absl::StrJoin(names, ", "),
                                                 DidYouMean(name, names)));
}

}  // namespace longrun::scaling
