// L(C) = a·C^b + c: the form of the GPT-4 report (arXiv:2303.08774, section 3.1), b below 0.
#include "scaling/laws/power_law.h"

namespace longrun::scaling {
namespace {

class PowerCompute final : public PowerLaw {
 public:
  PowerCompute() : PowerLaw(Quantity::kCompute) {}

  std::string_view name() const override { return "power-compute"; }
  std::string_view formula() const override { return "L(C) = a*C^b + c"; }
  const std::vector<ParameterInfo>& parameters() const override {
    static const std::vector<ParameterInfo> all{{"a", "coefficient of the compute"},
                                                {"b", "exponent of the compute, below 0"},
                                                {"c", "loss that no compute removes"}};
    return all;
  }
  Vector ToNatural(const Vector& x, const Features& centre) const override {
    Vector natural = PowerLaw::ToNatural(x, centre);
    natural[1] = -natural[1];
    return natural;
  }
  Vector FromNatural(const Vector& natural, const Features& centre) const override {
    Vector positive = natural;
    positive[1] = -positive[1];
    return PowerLaw::FromNatural(positive, centre);
  }
};

}  // namespace

const Law& PowerComputeLaw() {
  static const PowerCompute law;
  return law;
}

}  // namespace longrun::scaling
