// L(x) = c + a·x^b of one size x, b below 0: the shape of L(C), L(N) and L(D), each in a file of
// its own.
#pragma once

#include <cmath>

#include "scaling/laws/term_sum.h"

namespace longrun::scaling {

class PowerLaw : public TermSum {
 public:
  const std::vector<Quantity>& reads() const override { return reads_; }
  Features FeaturesOf(const Point& point) const override {
    return {std::log(point.Get(reads_[0])), 0};
  }

 protected:
  explicit PowerLaw(Quantity quantity) : TermSum({{0, 1, {1, 0}}, {2}}), reads_{quantity} {}

 private:
  std::vector<Quantity> reads_;
};

}  // namespace longrun::scaling
