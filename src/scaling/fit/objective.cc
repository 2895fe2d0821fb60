#include "scaling/fit/objective.h"

#include <cmath>
#include <numbers>

#include "absl/strings/str_cat.h"

namespace longrun::scaling {

std::string Objective::Describe() const {
  switch (kind) {
    case Kind::kHuber:
      return absl::StrCat("Huber ", delta, " on log residuals");
    case Kind::kHuberDensity:
      return absl::StrCat("Huber density ", delta, " on log residuals, scale fitted");
    case Kind::kSquares:
      break;
  }
  return "squares of residuals";
}

double HuberNormalizer(double delta) {
  const double centre = std::sqrt(2 * std::numbers::pi) * std::erf(delta / std::numbers::sqrt2);
  const double tails = 2 / delta * std::exp(-delta * delta / 2);
  return centre + tails;
}

}  // namespace longrun::scaling
