// Quantiles and special functions, from Boost.Math. Pure functions; any thread.
#pragma once

namespace longrun::scaling {

// The q-quantile of Student's t with `dof` > 0 degrees of freedom, 0 < q < 1.
double StudentTQuantile(double q, double dof);
// P(T ≤ t).
double StudentTCdf(double t, double dof);
double NormalQuantile(double q);
double NormalCdf(double z);

// d/dx ln Γ(x) and its derivative; x > 0.
double Digamma(double x);
double Trigamma(double x);
// ∫ from x to ∞ of e^(−t)/t dt; x > 0.
double ExponentialIntegral(double x);

}  // namespace longrun::scaling
