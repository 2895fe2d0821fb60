// L(N, D) = E + A/N^alpha + B/D^beta: Hoffmann et al. 2022 (arXiv:2203.15556), approach 3.
#include <cmath>

#include "scaling/laws/term_sum.h"

namespace longrun::scaling {
namespace {

class Chinchilla final : public TermSum {
 public:
  Chinchilla() : TermSum({{0, 3, {1, 0}}, {1, 4, {0, 1}}, {2}}) {}

  std::string_view name() const override { return "chinchilla"; }
  std::string_view formula() const override { return "L(N, D) = E + A/N^alpha + B/D^beta"; }
  const std::vector<Quantity>& reads() const override {
    static const std::vector<Quantity> quantities{Quantity::kParams, Quantity::kTokens};
    return quantities;
  }
  const std::vector<ParameterInfo>& parameters() const override {
    static const std::vector<ParameterInfo> all{{"A", "coefficient of the parameters"},
                                                {"B", "coefficient of the tokens"},
                                                {"E", "loss that no scale removes"},
                                                {"alpha", "exponent of the parameters"},
                                                {"beta", "exponent of the tokens"}};
    return all;
  }
  Features FeaturesOf(const Point& point) const override {
    return {std::log(point.params), std::log(point.tokens)};
  }

  // N = G·(C/6)^a with a = β/(α+β), G = (αA/βB)^(1/(α+β)): Hoffmann et al., equation 4.
  std::optional<Allocation> Optimal(const Vector& natural, double compute_flop) const override {
    const double alpha = natural[3];
    const double beta = natural[4];
    const double log_g = std::log(alpha * natural[0] / (beta * natural[1])) / (alpha + beta);
    const double log_nd = std::log(compute_flop / kFlopPerParamToken);
    Allocation best;
    best.params = std::exp(log_g + beta / (alpha + beta) * log_nd);
    best.tokens = std::exp(-log_g + alpha / (alpha + beta) * log_nd);
    return WithLoss(natural, best, compute_flop);
  }
};

}  // namespace

const Law& ChinchillaLaw() {
  static const Chinchilla law;
  return law;
}

}  // namespace longrun::scaling
