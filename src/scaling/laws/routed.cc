// log10 L = a·log10 N + b·log10 X + c·log10 N·log10 X + d, X the (effective) number of experts:
// Clark et al. 2022 (arXiv:2202.01169, equation 1). It has no floor, so it is for interpolation.
//
// Coordinates: the value at the data's centre, the two slopes there, and the interaction, of ln L
// by ln N and ln X.
#include <cmath>
#include <numbers>

#include "scaling/laws/law.h"

namespace longrun::scaling {
namespace {

constexpr int kSlopeN = 0, kSlopeX = 1, kCross = 2, kLevel = 3;

class Routed final : public Law {
 public:
  std::string_view name() const override { return "routed"; }
  std::string_view formula() const override {
    return "log10 L = a*log10 N + b*log10 X + c*log10 N*log10 X + d, X experts";
  }
  const std::vector<Quantity>& reads() const override {
    static const std::vector<Quantity> quantities{Quantity::kParams, Quantity::kExperts};
    return quantities;
  }
  const std::vector<ParameterInfo>& parameters() const override {
    static const std::vector<ParameterInfo> all{{"a", "slope by the parameters, at one expert"},
                                                {"b", "slope by the experts, at one parameter"},
                                                {"c", "how the one slope changes the other"},
                                                {"d", "log10 of the loss at one of each"}};
    return all;
  }
  const std::vector<int>& exponents() const override {
    static const std::vector<int> all{kSlopeN, kSlopeX};
    return all;
  }
  Features FeaturesOf(const Point& point) const override {
    return {std::log(point.params), std::log(point.experts)};
  }

  double LogLoss(const Features& f, const Vector& x, Vector* gradient,
                 Matrix* hessian) const override {
    if (gradient != nullptr) *gradient = Vector{{f[0], f[1], f[0] * f[1], 1}};
    if (hessian != nullptr) *hessian = Matrix::Zero(4, 4);
    return x[kLevel] + x[kSlopeN] * f[0] + x[kSlopeX] * f[1] + x[kCross] * f[0] * f[1];
  }

  Vector ToNatural(const Vector& x, const Features& centre) const override {
    const double level = x[kLevel] - x[kSlopeN] * centre[0] - x[kSlopeX] * centre[1] +
                         x[kCross] * centre[0] * centre[1];
    return Vector{{x[kSlopeN] - x[kCross] * centre[1], x[kSlopeX] - x[kCross] * centre[0],
                   x[kCross] * std::numbers::ln10, level / std::numbers::ln10}};
  }
  Vector FromNatural(const Vector& natural, const Features& centre) const override {
    const double cross = natural[kCross] / std::numbers::ln10;
    const double level = natural[kLevel] * std::numbers::ln10 + natural[kSlopeN] * centre[0] +
                         natural[kSlopeX] * centre[1] + cross * centre[0] * centre[1];
    return Vector{
        {natural[kSlopeN] + cross * centre[1], natural[kSlopeX] + cross * centre[0], cross, level}};
  }

  Bounds Box(const LossRange& loss) const override {
    Bounds box{Vector::Constant(4, -3), Vector::Constant(4, 3)};
    box.lower[kLevel] = std::log(loss.min) - 5;
    box.upper[kLevel] = std::log(loss.max) + 5;
    return box;
  }
  // ln L is linear in the coordinates: the objectives on it have one optimum.
  std::vector<Vector> Starts(const LossRange& loss) const override {
    return {Vector{{0, 0, 0, std::log(loss.mean)}}, Vector{{-0.1, -0.05, 0, std::log(loss.mean)}}};
  }
};

}  // namespace

const Law& RoutedLaw() {
  static const Routed law;
  return law;
}

}  // namespace longrun::scaling
