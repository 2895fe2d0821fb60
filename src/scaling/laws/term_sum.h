// Laws of the form L = Σ_k c_k · exp(−x_k · w_k·f): a sum of power laws and perhaps a constant, f
// being logarithms of sizes. What such laws share: the coordinates are the ln of each term at the
// data's centre, then the exponents; ln L is the log-sum-exp of linear functions of them, so its
// gradient and Hessian are those of a softmax.
#pragma once

#include <vector>

#include "scaling/laws/law.h"

namespace longrun::scaling {

class TermSum : public Law {
 public:
  // `coefficient` and `exponent` number coordinates; exponent −1: the constant, the loss that no
  // scale removes.
  struct Term {
    int coefficient = 0;
    int exponent = -1;
    Features weights = Features::Zero();
  };

  double LogLoss(const Features& f, const Vector& x, Vector* gradient,
                 Matrix* hessian) const override;
  // The natural parameters of a TermSum are its coefficients and its exponents, in the order of its
  // coordinates; laws that print them otherwise override these two.
  Vector ToNatural(const Vector& x, const Features& centre) const override;
  Vector FromNatural(const Vector& natural, const Features& centre) const override;
  Bounds Box(const LossRange& loss) const override;
  std::vector<Vector> Starts(const LossRange& loss) const override;
  const std::vector<int>& exponents() const override { return exponents_; }

 protected:
  explicit TermSum(std::vector<Term> terms);

 private:
  std::vector<Term> terms_;
  std::vector<int> exponents_;  // the coordinates that are exponents
  int size_ = 0;                // coordinates
};

}  // namespace longrun::scaling
