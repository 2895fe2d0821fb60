#include "scaling/distributions.h"

#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/special_functions/digamma.hpp>
#include <boost/math/special_functions/expint.hpp>
#include <boost/math/special_functions/trigamma.hpp>

#include "base/check.h"

namespace longrun::scaling {

double StudentTQuantile(double q, double dof) {
  LR_CHECK(q > 0 && q < 1 && dof > 0);
  return boost::math::quantile(boost::math::students_t(dof), q);
}

double StudentTCdf(double t, double dof) {
  LR_CHECK(dof > 0);
  return boost::math::cdf(boost::math::students_t(dof), t);
}

double NormalQuantile(double q) {
  LR_CHECK(q > 0 && q < 1);
  return boost::math::quantile(boost::math::normal(), q);
}

double NormalCdf(double z) { return boost::math::cdf(boost::math::normal(), z); }

double Digamma(double x) {
  LR_CHECK(x > 0);
  return boost::math::digamma(x);
}

double Trigamma(double x) {
  LR_CHECK(x > 0);
  return boost::math::trigamma(x);
}

double ExponentialIntegral(double x) {
  LR_CHECK(x > 0);
  return boost::math::expint(1, x);
}

}  // namespace longrun::scaling
