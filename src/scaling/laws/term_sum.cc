#include "scaling/laws/term_sum.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"

namespace longrun::scaling {
namespace {

constexpr int kMaxTerms = 3;
constexpr double kSmallestExponent = 0.005;  // below it a term is a constant to any real data
constexpr double kLargestExponent = 3;
constexpr double kTermRange = 14;      // ln of how far below the largest loss a term is looked for
constexpr double kConstantRange = 10;  // and the constant below the smallest

}  // namespace

TermSum::TermSum(std::vector<Term> terms) : terms_(std::move(terms)) {
  LR_CHECK_LE(terms_.size(), static_cast<size_t>(kMaxTerms));
  for (const Term& term : terms_) {
    size_ = std::max({size_, term.coefficient + 1, term.exponent + 1});
    const bool known =
        std::find(exponents_.begin(), exponents_.end(), term.exponent) != exponents_.end();
    if (term.exponent >= 0 && !known) exponents_.push_back(term.exponent);
  }
  LR_CHECK_LE(size_, kMaxParameters);
}

double TermSum::LogLoss(const Features& f, const Vector& x, Vector* gradient,
                        Matrix* hessian) const {
  std::array<double, kMaxTerms> share;  // of each term in the sum
  std::array<double, kMaxTerms> slope;  // of ln term by its exponent
  const int count = static_cast<int>(terms_.size());
  double largest = -1e300;
  for (int k = 0; k < count; ++k) {
    const Term& term = terms_[k];
    slope[k] = -(term.weights[0] * f[0] + term.weights[1] * f[1]);
    share[k] = x[term.coefficient] + (term.exponent >= 0 ? x[term.exponent] * slope[k] : 0);
    largest = std::max(largest, share[k]);
  }
  double sum = 0;
  for (int k = 0; k < count; ++k) {
    share[k] = share[k] == largest ? 1 : std::exp(share[k] - largest);
    sum += share[k];
  }
  const double log_loss = largest + std::log(sum);
  if (gradient == nullptr) return log_loss;

  gradient->setZero(size_);
  double* g = gradient->data();
  for (int k = 0; k < count; ++k) {
    share[k] /= sum;
    g[terms_[k].coefficient] += share[k];
    if (terms_[k].exponent >= 0) g[terms_[k].exponent] += share[k] * slope[k];
  }
  if (hessian == nullptr) return log_loss;

  hessian->resize(size_, size_);
  for (int i = 0; i < size_; ++i) {
    for (int j = 0; j < size_; ++j) (*hessian)(j, i) = -g[i] * g[j];
  }
  for (int k = 0; k < count; ++k) {
    const int c = terms_[k].coefficient;
    const int e = terms_[k].exponent;
    (*hessian)(c, c) += share[k];
    if (e < 0) continue;
    (*hessian)(c, e) += share[k] * slope[k];
    (*hessian)(e, c) += share[k] * slope[k];
    (*hessian)(e, e) += share[k] * slope[k] * slope[k];
  }
  return log_loss;
}

Vector TermSum::ToNatural(const Vector& x, const Features& centre) const {
  Vector natural = x;
  for (const Term& term : terms_) {
    double log_coefficient = x[term.coefficient];
    if (term.exponent >= 0) log_coefficient += x[term.exponent] * term.weights.dot(centre);
    natural[term.coefficient] = std::exp(log_coefficient);
  }
  return natural;
}

Vector TermSum::FromNatural(const Vector& natural, const Features& centre) const {
  Vector x = natural;
  for (const Term& term : terms_) {
    // A coefficient of 0 is a term that is not there.
    x[term.coefficient] = std::log(std::max(natural[term.coefficient], 1e-300));
    if (term.exponent >= 0) {
      x[term.coefficient] -= natural[term.exponent] * term.weights.dot(centre);
    }
  }
  return x;
}

Bounds TermSum::Box(const LossRange& loss) const {
  Bounds box{Vector::Zero(size_), Vector::Zero(size_)};
  for (const Term& term : terms_) {
    if (term.exponent < 0) {
      // Noise may leave the smallest loss a little under the constant.
      box.lower[term.coefficient] = std::log(loss.min) - kConstantRange;
      box.upper[term.coefficient] = std::log(loss.min) + 0.05;
    } else {
      box.lower[term.coefficient] = std::log(loss.max) - kTermRange;
      box.upper[term.coefficient] = std::log(loss.max) + 2;
    }
  }
  for (const int e : exponents_) {
    box.lower[e] = kSmallestExponent;
    box.upper[e] = kLargestExponent;
  }
  return box;
}

std::vector<Vector> TermSum::Starts(const LossRange& loss) const {
  constexpr std::array<double, 3> kExponents{0.12, 0.35, 0.9};
  constexpr std::array<double, 2> kFloors{0.2, 0.8};         // constants, by the smallest loss
  constexpr std::array<double, 3> kShares{0.5, 0.85, 0.15};  // the first term's, of the rest
  int powers = 0;
  for (const Term& term : terms_) powers += term.exponent >= 0 ? 1 : 0;
  const int grids = static_cast<int>(std::pow(kExponents.size(), exponents_.size()));
  std::vector<Vector> starts;
  for (const double floor : kFloors) {
    for (const double share : kShares) {
      if (powers == 1 && share != kShares[0]) continue;
      for (int grid = 0; grid < grids; ++grid) {
        Vector x = Vector::Zero(size_);
        const double rest = loss.mean - floor * loss.min;
        bool first = true;
        for (const Term& term : terms_) {
          double part = floor * loss.min;
          if (term.exponent >= 0) {
            part = powers == 1 ? rest : rest * (first ? share : (1 - share) / (powers - 1));
            first = false;
          }
          x[term.coefficient] = std::log(part);
        }
        int digits = grid;
        for (const int e : exponents_) {
          x[e] = kExponents[digits % kExponents.size()];
          digits /= static_cast<int>(kExponents.size());
        }
        starts.push_back(x);
      }
    }
  }
  return starts;
}

}  // namespace longrun::scaling
