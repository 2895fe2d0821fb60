#include "scaling/fit/refusals.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace longrun::scaling {
namespace {

// Standard error over value: beyond it the 95 % interval of the exponent is ± 40 % and more, and a
// decade of extrapolation is a guess.
constexpr double kUnknownExponent = 0.2;
constexpr double kWorstCondition = 1e5;
constexpr double kWorstCorrelation = 0.995;  // of ln N and ln D
constexpr int kLeastSizes = 3;               // a power law and a floor have three numbers
constexpr double kNarrowSpan = 10;
constexpr double kOutlier = 6;        // robust standard deviations
constexpr double kFewTokens = 0.5;    // per parameter: runs that have hardly begun
constexpr double kVagueFloor = 0.15;  // standard error of the floor, by the smallest loss

std::string Size(double value) { return absl::StrFormat("%.3g", value); }

std::string Runs(const std::vector<NextRun>& runs, const Law& law) {
  std::vector<std::string> parts;
  for (const NextRun& run : runs) {
    std::vector<std::string> sizes;
    for (const Quantity quantity : law.reads()) {
      sizes.push_back(
          absl::StrCat(std::string(QuantityName(quantity)), " ", Size(run.point.Get(quantity))));
    }
    parts.push_back(absl::StrJoin(sizes, " with "));
  }
  return absl::StrJoin(parts, "; ");
}

std::set<double> Distinct(const Points& points, Quantity quantity) {
  std::set<double> out;
  // Sizes within a percent are one size.
  for (const Point& p : points) out.insert(std::round(std::log(p.Get(quantity)) * 100));
  return out;
}

double Correlation(const Law& law, const Points& points) {
  Features mean = Features::Zero();
  for (const Point& p : points) mean += law.FeaturesOf(p) / static_cast<double>(points.size());
  Eigen::Matrix2d sum = Eigen::Matrix2d::Zero();
  for (const Point& p : points) {
    const Features f = law.FeaturesOf(p) - mean;
    sum += f * f.transpose();
  }
  const double scale = std::sqrt(sum(0, 0) * sum(1, 1));
  return scale > 0 ? std::abs(sum(0, 1)) / scale : 0;
}

void JudgeDesign(const Law& law, const Points& points, Fit& fit) {
  for (size_t i = 0; i < law.reads().size(); ++i) {
    const Quantity quantity = law.reads()[i];
    const std::string name(QuantityName(quantity));
    const size_t sizes = Distinct(points, quantity).size();
    const double span = fit.highest[i] / fit.lowest[i];
    if (sizes < kLeastSizes) {
      fit.refusals.push_back(
          {sizes == 1 ? absl::StrCat("all points are at one ", name, ", ", Size(fit.lowest[i]),
                                     ": its exponent cannot be seen")
                      : absl::StrCat("the points are at ", sizes, " values of ", name,
                                     ": a power law and a floor need at least ", kLeastSizes),
           absl::StrCat("runs at ", name, " ", Size(fit.lowest[i] / 10), " and ",
                        Size(fit.lowest[i] / 3), ", or above ", Size(fit.highest[i] * 3))});
    } else if (span < kNarrowSpan) {
      fit.warnings.push_back(absl::StrFormat(
          "%s spans a factor of %.2g alone: small errors of the loss move its exponent far", name,
          span));
    }
  }
  if (law.reads().size() < 2 || !fit.refusals.empty()) return;
  // Of the two sizes, whichever coordinates the law itself takes.
  const double correlation = Correlation(ChinchillaLaw(), points);
  if (law.reads()[1] == Quantity::kTokens && correlation > kWorstCorrelation) {
    fit.refusals.push_back(
        {absl::StrFormat("params and tokens grow together (correlation %.4f): what one does and "
                         "what the other does cannot be told apart",
                         correlation),
         absl::StrCat("at two or three of the sizes, runs with a tenth and with ten times the "
                      "tokens per parameter")});
  }
}

void JudgeBounds(const FitProblem& problem, const Vector& x, Fit& fit) {
  const Law& law = problem.law();
  const Bounds box = law.Box(problem.loss_range());
  for (int c = 0; c < x.size(); ++c) {
    const double slack = 1e-6 * (box.upper[c] - box.lower[c]);
    const bool low = x[c] <= box.lower[c] + slack;
    const bool high = x[c] >= box.upper[c] - slack;
    if (!low && !high) continue;
    const std::string name = law.parameters()[c].name;
    const bool exponent =
        std::find(law.exponents().begin(), law.exponents().end(), c) != law.exponents().end();
    if (exponent) {
      fit.refusals.push_back(
          {absl::StrFormat("%s is at its bound, %g", name, low ? box.lower[c] : box.upper[c]),
           absl::StrCat("look for rows in wrong units and for early points; then runs over two "
                        "decades of what ",
                        name, " is the exponent of")});
    } else if (law.parameters()[c].meaning.rfind("loss that no", 0) == 0) {
      if (low) {
        fit.warnings.push_back(
            absl::StrCat(name, " cannot be told from 0: the runs are too small to show a floor"));
      } else {
        fit.refusals.push_back({absl::StrCat("the floor ", name,
                                             " meets the smallest loss: the "
                                             "loss does not fall with size in these points"),
                                "runs over two decades, from well below the smallest to well above "
                                "the largest"});
      }
    } else {
      fit.refusals.push_back({absl::StrCat("the term of ", name,
                                           " is at its bound: the loss does "
                                           "not depend on it in these points"),
                              "runs that differ in it by two decades, all else alike"});
    }
  }
}

void JudgeErrors(const FitProblem& problem, const Points& points, const Vector& x, Fit& fit) {
  const Law& law = problem.law();
  const Identifiability& known = fit.identifiability;
  std::vector<std::string> vague;
  int worst = -1;
  for (const int e : law.exponents()) {
    if (known.relative_errors[e] <= kUnknownExponent) continue;
    vague.push_back(absl::StrFormat("%s (%.2g ± %.2g)", law.parameters()[e].name, x[e],
                                    known.relative_errors[e] * std::abs(x[e])));
    if (worst < 0 || known.relative_errors[e] > known.relative_errors[worst]) worst = e;
  }
  if (worst < 0 && known.condition <= kWorstCondition) return;
  if (worst < 0) worst = law.exponents().front();
  const std::vector<NextRun> runs = RunsToPin(problem, points, x, worst, NoiseOf(fit), 3);
  Refusal refusal;
  refusal.reason = vague.empty()
                       ? absl::StrFormat("the data cannot separate %s (condition %.1e)",
                                         absl::StrJoin(known.weakest, ", "), known.condition)
                       : absl::StrCat("the data cannot pin down ", absl::StrJoin(vague, " and "),
                                      known.weakest.size() > 1
                                          ? absl::StrCat("; ", absl::StrJoin(known.weakest, ", "),
                                                         " trade against each other")
                                          : "");
  refusal.measure_next = absl::StrCat("runs at ", Runs(runs, law));
  if (!runs.empty() && runs.back().error_after < 10) {
    absl::StrAppendFormat(&refusal.measure_next,
                          ": they would bring %s from ± %.0f %% to ± %.0f %%",
                          law.parameters()[worst].name, 100 * runs.front().error_before,
                          100 * runs.back().error_after);
  }
  fit.refusals.push_back(refusal);
}

void WarnOfPoints(const Points& points, const Vector& x, Fit& fit) {
  std::vector<std::string> outliers;
  int few_tokens = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    if (std::abs(fit.residuals[i]) > kOutlier * std::max(fit.residual_sd, kLeastNoise)) {
      outliers.push_back(points[i].line > 0 ? absl::StrFormat("line %d (%+.1f %%)", points[i].line,
                                                              100 * std::expm1(fit.residuals[i]))
                                            : absl::StrFormat("point %d (%+.1f %%)", i + 1,
                                                              100 * std::expm1(fit.residuals[i])));
    }
    if (points[i].tokens < kFewTokens * points[i].params) ++few_tokens;
  }
  if (!outliers.empty()) {
    const size_t shown = std::min<size_t>(outliers.size(), 5);
    const std::string more =
        outliers.size() > shown ? absl::StrCat(" and ", outliers.size() - shown, " more") : "";
    outliers.resize(shown);
    fit.warnings.push_back(absl::StrCat("far from the law: ", absl::StrJoin(outliers, ", "), more,
                                        "; --sensitivity shows what they do to it"));
  }
  if (few_tokens > 0) {
    fit.warnings.push_back(absl::StrCat(
        few_tokens, few_tokens == 1 ? " point has" : " points have",
        " under 0.5 tokens per parameter, where laws do not hold; --min-tokens-per-param 0.5 "
        "leaves them out"));
  }
}

}  // namespace

void Judge(const FitProblem& problem, const Points& points, const Vector& x, Fit& fit) {
  const Law& law = problem.law();
  JudgeDesign(law, points, fit);
  JudgeBounds(problem, x, fit);
  if (fit.refusals.empty()) JudgeErrors(problem, points, x, fit);
  const int parameters = law.parameter_count();
  if (fit.points <= parameters) {
    fit.refusals.push_back({absl::StrCat(fit.points, " points for ", parameters,
                                         " parameters: nothing is left over to judge the fit by"),
                            absl::StrCat("at least ", 2 * parameters, " runs in all")});
  } else if (fit.points < 2 * parameters) {
    fit.warnings.push_back(absl::StrCat("only ", fit.points, " points for ", parameters,
                                        " parameters: the intervals are rough"));
  }
  for (int c = 0; c < x.size(); ++c) {
    const bool floor = law.parameters()[c].meaning.rfind("loss that no", 0) == 0;
    const double error = fit.identifiability.standard_errors[c];
    if (floor && error > kVagueFloor * problem.loss_range().min) {
      fit.warnings.push_back(absl::StrFormat("the floor %s is known to ± %.2g alone",
                                             law.parameters()[c].name, error));
    }
  }
  WarnOfPoints(points, x, fit);
  if (fit.starts_best == 1) {
    fit.warnings.push_back(
        "only one of the starts reached the best optimum: another may be better");
  }
}

}  // namespace longrun::scaling
