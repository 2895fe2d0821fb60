// L(D) = E + B/D^beta, of runs that nothing but tokens held back: Kaplan et al. 2020
// (arXiv:2001.08361, equation 1.2) with a floor E; theirs is D_c = B^(1/beta) at E = 0.
#include "scaling/laws/power_law.h"

namespace longrun::scaling {
namespace {

class PowerTokens final : public PowerLaw {
 public:
  PowerTokens() : PowerLaw(Quantity::kTokens) {}

  std::string_view name() const override { return "power-tokens"; }
  std::string_view formula() const override { return "L(D) = E + B/D^beta"; }
  const std::vector<ParameterInfo>& parameters() const override {
    static const std::vector<ParameterInfo> all{{"B", "coefficient of the tokens"},
                                                {"beta", "exponent of the tokens"},
                                                {"E", "loss that no tokens remove"}};
    return all;
  }
};

}  // namespace

const Law& PowerTokensLaw() {
  static const PowerTokens law;
  return law;
}

}  // namespace longrun::scaling
