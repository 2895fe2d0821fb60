// L(C, M) = E + (a·M^eta + b·M^−eta)·C^−eta with M = D/N: Gadre et al. 2024 (arXiv:2403.08540),
// equation 4. It is Chinchilla's law with alpha = beta = 2·eta, so that runs of any tokens per
// parameter lie on parallel lines.
#include <cmath>

#include "scaling/laws/term_sum.h"

namespace longrun::scaling {
namespace {

class Overtraining final : public TermSum {
 public:
  Overtraining() : TermSum({{0, 3, {1, -1}}, {1, 3, {1, 1}}, {2}}) {}

  std::string_view name() const override { return "overtraining"; }
  std::string_view formula() const override {
    return "L(C, M) = E + (a*M^eta + b*M^-eta)*C^-eta, M = D/N";
  }
  const std::vector<Quantity>& reads() const override {
    static const std::vector<Quantity> quantities{Quantity::kParams, Quantity::kTokens};
    return quantities;
  }
  const std::vector<ParameterInfo>& parameters() const override {
    static const std::vector<ParameterInfo> all{{"a", "coefficient of too few parameters"},
                                                {"b", "coefficient of too few tokens"},
                                                {"E", "loss that no scale removes"},
                                                {"eta", "exponent of the compute"}};
    return all;
  }
  // ln C by 6·N·D, and ln M.
  Features FeaturesOf(const Point& point) const override {
    const double n = std::log(point.params);
    const double d = std::log(point.tokens);
    return {std::log(kFlopPerParamToken) + n + d, d - n};
  }

  // The M at which a·M^eta + b·M^−eta is least, whatever C is.
  std::optional<Allocation> Optimal(const Vector& natural, double compute_flop) const override {
    const double m = std::pow(natural[1] / natural[0], 1 / (2 * natural[3]));
    Allocation best;
    best.params = std::sqrt(compute_flop / (kFlopPerParamToken * m));
    best.tokens = best.params * m;
    return WithLoss(natural, best, compute_flop);
  }
};

}  // namespace

const Law& OvertrainingLaw() {
  static const Overtraining law;
  return law;
}

}  // namespace longrun::scaling
