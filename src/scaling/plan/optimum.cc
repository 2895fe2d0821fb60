#include "scaling/plan/optimum.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace longrun::scaling {
namespace {

constexpr double kFewestParams = 1;
constexpr double kMostParams = 1e16;
constexpr double kFewestTokens = 1;
constexpr double kMostTokens = 1e18;

// Where a function of one valley is lowest in [lo, hi]: golden section, to 1e-10 of the width.
template <class F>
double Lowest(double lo, double hi, const F& f) {
  const double ratio = (std::sqrt(5.0) - 1) / 2;
  double a = hi - ratio * (hi - lo), b = lo + ratio * (hi - lo);
  double fa = f(a), fb = f(b);
  for (int i = 0; i < 60; ++i) {
    if (fa < fb) {
      hi = b;
      b = a;
      fb = fa;
      a = hi - ratio * (hi - lo);
      fa = f(a);
    } else {
      lo = a;
      a = b;
      fa = fb;
      b = lo + ratio * (hi - lo);
      fb = f(b);
    }
  }
  return (lo + hi) / 2;
}

// Where a condition begins to hold in [lo, hi]; it holds at hi.
template <class F>
double Begins(double lo, double hi, const F& holds) {
  if (holds(lo)) return lo;
  for (int i = 0; i < 80; ++i) {
    const double middle = (lo + hi) / 2;
    (holds(middle) ? hi : lo) = middle;
  }
  return hi;
}

Allocation Made(const LossOf& loss, double params, double tokens) {
  return {params, tokens, kFlopPerParamToken * params * tokens, loss(params, tokens)};
}

double MostTokens(const AllocationLimits& limits) {
  return std::min(limits.most_tokens, kMostTokens);
}

// The fewest tokens that bring `params` to the target; infinite where no number of them does.
double TokensFor(const LossOf& loss, double params, double target, double most) {
  if (!(loss(params, most) <= target)) return std::numeric_limits<double>::infinity();
  const double log_tokens = Begins(std::log(kFewestTokens), std::log(most),
                                   [&](double x) { return loss(params, std::exp(x)) <= target; });
  return std::exp(log_tokens);
}

}  // namespace

absl::StatusOr<LossOf> LossOfLaw(const Law& law, const Vector& parameters) {
  const std::vector<Quantity> both{Quantity::kParams, Quantity::kTokens};
  if (law.reads() != both) {
    return absl::InvalidArgumentError(
        absl::StrCat("the law ", std::string(law.formula()),
                     " does not tell parameters from tokens, so no model can be chosen by it; fit "
                     "chinchilla, kaplan or overtraining"));
  }
  return [&law, parameters](double params, double tokens) {
    Point point;
    point.params = params;
    point.tokens = tokens;
    point.compute = kFlopPerParamToken * params * tokens;
    return law.Loss(parameters, point);
  };
}

Allocation BestForCompute(const LossOf& loss, double compute, const AllocationLimits& limits) {
  const double pairs = compute / kFlopPerParamToken;  // params · tokens
  if (limits.params && limits.tokens) return Made(loss, *limits.params, *limits.tokens);
  if (limits.params) {
    return Made(loss, *limits.params, std::min(pairs / *limits.params, limits.most_tokens));
  }
  if (limits.tokens) return Made(loss, pairs / *limits.tokens, *limits.tokens);
  // Beyond `least` the tokens that are left are no more than there are.
  const double least = std::max(std::log(kFewestParams), std::log(pairs / MostTokens(limits)));
  const double most = std::max(least, std::log(pairs / kFewestTokens));
  const double params = std::exp(
      Lowest(least, most, [&](double x) { return loss(std::exp(x), pairs / std::exp(x)); }));
  return Made(loss, params, pairs / params);
}

absl::StatusOr<Allocation> CheapestForLoss(const LossOf& loss, double target, double served_tokens,
                                           const AllocationLimits& limits) {
  const double tokens_limit = limits.tokens.value_or(MostTokens(limits));
  const double params_limit = limits.params.value_or(kMostParams);
  const double reachable = loss(params_limit, tokens_limit);
  if (!(reachable <= target)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "a loss of %g is out of reach: %g parameters on %g tokens come to %.4f by this law", target,
        params_limit, tokens_limit, reachable));
  }
  if (limits.tokens) {
    const double params = limits.params.value_or(
        std::exp(Begins(std::log(kFewestParams), std::log(kMostParams),
                        [&](double x) { return loss(std::exp(x), *limits.tokens) <= target; })));
    return Made(loss, params, *limits.tokens);
  }
  if (limits.params) {
    return Made(loss, *limits.params, TokensFor(loss, *limits.params, target, tokens_limit));
  }
  // The smallest model that all the tokens bring to the target; larger ones need fewer tokens.
  const double least = Begins(std::log(kFewestParams), std::log(kMostParams),
                              [&](double x) { return loss(std::exp(x), tokens_limit) <= target; });
  const double params = std::exp(Lowest(least, std::log(kMostParams), [&](double x) {
    const double n = std::exp(x);
    return std::log(n) + std::log(6 * TokensFor(loss, n, target, tokens_limit) + 2 * served_tokens);
  }));
  return Made(loss, params, TokensFor(loss, params, target, tokens_limit));
}

}  // namespace longrun::scaling
