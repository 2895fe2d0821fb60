// L(N) = E + A/N^alpha, of runs that nothing but parameters held back: Kaplan et al. 2020
// (arXiv:2001.08361, equation 1.1) with a floor E; theirs is N_c = A^(1/alpha) at E = 0.
#include "scaling/laws/power_law.h"

namespace longrun::scaling {
namespace {

class PowerParams final : public PowerLaw {
 public:
  PowerParams() : PowerLaw(Quantity::kParams) {}

  std::string_view name() const override { return "power-params"; }
  std::string_view formula() const override { return "L(N) = E + A/N^alpha"; }
  const std::vector<ParameterInfo>& parameters() const override {
    static const std::vector<ParameterInfo> all{{"A", "coefficient of the parameters"},
                                                {"alpha", "exponent of the parameters"},
                                                {"E", "loss that no parameters remove"}};
    return all;
  }
};

}  // namespace

const Law& PowerParamsLaw() {
  static const PowerParams law;
  return law;
}

}  // namespace longrun::scaling
