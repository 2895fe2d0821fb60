// L(N, D) = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D: Kaplan et al. 2020 (arXiv:2001.08361,
// equation 1.5), N without embeddings.
//
// Coordinates: p and q, the ln of each term alone at the data's centre, then alpha_N and alpha_D.
// With y = (p − alpha_N·n, q − alpha_D·d), ln L = alpha_D · log-sum-exp(y/alpha_D).
#include <algorithm>
#include <array>
#include <cmath>

#include "scaling/laws/law.h"

namespace longrun::scaling {
namespace {

constexpr int kP = 0, kQ = 1, kAlphaN = 2, kAlphaD = 3;

class Kaplan final : public Law {
 public:
  std::string_view name() const override { return "kaplan"; }
  std::string_view formula() const override {
    return "L(N, D) = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D";
  }
  const std::vector<Quantity>& reads() const override {
    static const std::vector<Quantity> quantities{Quantity::kParams, Quantity::kTokens};
    return quantities;
  }
  const std::vector<ParameterInfo>& parameters() const override {
    static const std::vector<ParameterInfo> all{
        {"N_c", "parameters that would bring the loss to 1"},
        {"D_c", "tokens that would bring the loss to 1"},
        {"alpha_N", "exponent of the parameters"},
        {"alpha_D", "exponent of the tokens"}};
    return all;
  }
  const std::vector<int>& exponents() const override {
    static const std::vector<int> all{kAlphaN, kAlphaD};
    return all;
  }
  Features FeaturesOf(const Point& point) const override {
    return {std::log(point.params), std::log(point.tokens)};
  }

  double LogLoss(const Features& f, const Vector& x, Vector* gradient,
                 Matrix* hessian) const override {
    const double k = x[kAlphaD];
    const std::array<double, 2> y{x[kP] - x[kAlphaN] * f[0], x[kQ] - k * f[1]};
    const double largest = std::max(y[0], y[1]);
    const std::array<double, 2> e{std::exp((y[0] - largest) / k), std::exp((y[1] - largest) / k)};
    const double log_loss = largest + k * std::log(e[0] + e[1]);
    if (gradient == nullptr) return log_loss;

    const std::array<double, 2> share{e[0] / (e[0] + e[1]), e[1] / (e[0] + e[1])};
    const double mean = share[0] * y[0] + share[1] * y[1];
    // By k with y held fast: the entropy of the shares.
    const double by_k = (log_loss - mean) / k;
    *gradient = Vector::Zero(4);
    (*gradient)[kP] = share[0];
    (*gradient)[kQ] = share[1];
    (*gradient)[kAlphaN] = -share[0] * f[0];
    (*gradient)[kAlphaD] = by_k - share[1] * f[1];
    if (hessian == nullptr) return log_loss;

    // Second derivatives by (y0, y1, k), then through y's dependence on the coordinates.
    const double spread = share[0] * share[1];
    const double difference = y[0] - y[1];
    Eigen::Matrix3d inner;
    inner << spread / k, -spread / k, -spread * difference / (k * k),  //
        -spread / k, spread / k, spread * difference / (k * k),        //
        -spread * difference / (k * k), spread * difference / (k * k),
        spread * difference * difference / (k * k * k);
    Eigen::Matrix<double, 3, 4> by_coordinates;
    by_coordinates << 1, 0, -f[0], 0,  //
        0, 1, 0, -f[1],                //
        0, 0, 0, 1;
    *hessian = by_coordinates.transpose() * inner * by_coordinates;
    return log_loss;
  }

  Vector ToNatural(const Vector& x, const Features& centre) const override {
    Vector natural = x;
    natural[0] = std::exp(x[kP] / x[kAlphaN] + centre[0]);
    natural[1] = std::exp(x[kQ] / x[kAlphaD] + centre[1]);
    return natural;
  }
  Vector FromNatural(const Vector& natural, const Features& centre) const override {
    Vector x = natural;
    x[kP] = natural[kAlphaN] * (std::log(natural[0]) - centre[0]);
    x[kQ] = natural[kAlphaD] * (std::log(natural[1]) - centre[1]);
    return x;
  }

  Bounds Box(const LossRange& loss) const override {
    Bounds box{Vector::Zero(4), Vector::Zero(4)};
    const double top = std::log(loss.max);
    box.lower << top - 14, top - 14, 0.005, 0.005;
    box.upper << top + 2, top + 2, 3, 3;
    return box;
  }

  std::vector<Vector> Starts(const LossRange& loss) const override {
    std::vector<Vector> starts;
    const double middle = std::log(loss.mean);
    for (const double alpha_n : {0.06, 0.2, 0.6}) {
      for (const double alpha_d : {0.06, 0.2, 0.6}) {
        for (const double below : {0.0, 0.3, 1.0}) {
          starts.push_back(Vector{{middle, middle - below, alpha_n, alpha_d}});
          if (below > 0) starts.push_back(Vector{{middle - below, middle, alpha_n, alpha_d}});
        }
      }
    }
    return starts;
  }

  // Both terms fall as powers, so the best split is Chinchilla's of the bracket.
  std::optional<Allocation> Optimal(const Vector& natural, double compute_flop) const override {
    const double ratio = natural[2] / natural[3];
    const double log_a = ratio * std::log(natural[0]);
    const double log_b = std::log(natural[1]);
    const double log_nd = std::log(compute_flop / kFlopPerParamToken);
    Allocation best;
    const double log_n = (std::log(ratio) + log_a - log_b + log_nd) / (ratio + 1);
    best.params = std::exp(log_n);
    best.tokens = std::exp(log_nd - log_n);
    return WithLoss(natural, best, compute_flop);
  }
};

}  // namespace

const Law& KaplanLaw() {
  static const Kaplan law;
  return law;
}

}  // namespace longrun::scaling
