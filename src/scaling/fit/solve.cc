#include "scaling/fit/solve.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace longrun::scaling {
namespace {

constexpr double kSmoothDelta = 0.1;  // where residuals of laws lie inside δ, and the sum is smooth
constexpr double kStep = 10;          // by which δ is lowered from one stage to the next
// Of residuals whose spread is some 1e-3: below it the Huber sum is that of absolute values to
// seven digits, and its kinks are lost in rounding.
constexpr double kLeastDelta = 1e-7;
constexpr double kRadius = 300;       // of the first step, by δ
constexpr int kCoarsePoints = 2000;   // enough for telling basins apart
constexpr int kCandidates = 6;        // basins that are followed to the end
constexpr int kShaken = 24;           // starts around the best
constexpr double kZero = 1e-12;       // sums below it are those of points exactly on the law
constexpr double kRefitDelta = 1e-3;  // below it a refit lowers δ to the one asked for
constexpr double kSame = 1e-9;        // relative difference of sums that are one optimum

Minimum MinimizeHuber(const FitProblem& problem, double delta, const Vector& start,
                      const Bounds& box, const MinimizeOptions& options) {
  return Minimize([&](const Vector& x, Evaluation& out) { problem.Huber(x, delta, out); }, start,
                  box, options);
}

// The quadratic model of a sum with a small δ holds over steps in proportion to it.
double RadiusAt(double delta) { return std::min(0.5, kRadius * delta); }

// Down from the smooth sum to δ. Each stage begins near its optimum, so the kinks of a small δ are
// met a few at a time.
Minimum LowerDelta(const FitProblem& problem, double from, double to, const Vector& start,
                   const Bounds& box) {
  MinimizeOptions options;
  options.tolerance = 1e-5;
  Vector x = start;
  for (double delta = from; delta > to * 1.5; delta /= kStep) {
    options.radius = RadiusAt(delta);
    x = MinimizeHuber(problem, delta, x, box, options).x;
  }
  options.tolerance = 1e-14;
  options.max_iterations = 300;
  options.radius = RadiusAt(to);
  return MinimizeHuber(problem, to, x, box, options);
}

// The σ that makes the residuals likeliest: Σ ψ(r/σ)·r/σ = Σ weight, whose left side falls in σ.
double ScaleOf(const FitProblem& problem, const std::vector<double>& residuals, double delta) {
  double lo = -60;
  double hi = 10;
  while (hi - lo > 1e-13) {
    const double middle = (lo + hi) / 2;
    const double scale = std::exp(middle);
    double sum = 0;
    for (int i = 0; i < problem.size(); ++i) {
      const double r = residuals[i] / scale;
      sum += problem.weight(i) * HuberPenalty(r, delta).slope * r;
    }
    (sum > problem.total_weight() ? lo : hi) = middle;
  }
  return std::exp((lo + hi) / 2);
}

double NegativeLogDensity(const FitProblem& problem, const std::vector<double>& residuals,
                          double delta, double scale) {
  double sum = problem.total_weight() * (std::log(scale) + std::log(HuberNormalizer(delta)));
  for (int i = 0; i < problem.size(); ++i) {
    sum += problem.weight(i) * HuberPenalty(residuals[i] / scale, delta).value;
  }
  return sum;
}

// σ and the coordinates in turn: with σ held, the likeliest coordinates minimise the Huber sum at
// δ·σ.
Solution SolveDensity(const FitProblem& problem, double delta, const Vector& start, double from,
                      const Bounds& box) {
  Solution out;
  out.x = start;
  double lower_from = from;
  double last = 0;
  for (int round = 0; round < 20; ++round) {
    const std::vector<double> residuals = problem.Residuals(out.x);
    out.scale = ScaleOf(problem, residuals, delta);
    out.objective_sum = NegativeLogDensity(problem, residuals, delta, out.scale);
    if (round > 0 && last - out.objective_sum <= 1e-11 * std::abs(out.objective_sum)) break;
    last = out.objective_sum;
    const double effective = std::max(delta * out.scale, kLeastDelta);
    if (round > 0 && effective == lower_from) break;  // the coordinates are those of this δ·σ
    out.x = LowerDelta(problem, std::max(lower_from, effective), effective, out.x, box).x;
    lower_from = effective;
  }
  return out;
}

// To the end from `start`, beginning with the Huber sum at `from`.
Solution Finish(const FitProblem& problem, const Objective& objective, const Vector& start,
                double from) {
  const Bounds box = problem.law().Box(problem.loss_range());
  switch (objective.kind) {
    case Objective::Kind::kHuberDensity:
      return SolveDensity(problem, objective.delta, start, from, box);
    case Objective::Kind::kHuber: {
      const Minimum best =
          LowerDelta(problem, std::max(from, objective.delta), objective.delta, start, box);
      return {best.x, best.value};
    }
    case Objective::Kind::kSquares:
      break;
  }
  MinimizeOptions options;
  options.max_iterations = 300;
  const Minimum best = Minimize([&](const Vector& x, Evaluation& out) { problem.Squares(x, out); },
                                start, box, options);
  return {best.x, best.value};
}

bool Near(double a, double b) { return std::abs(a - b) <= kSame * std::abs(a) + kZero; }

// The distinct optima of the smooth sum that the starts reach, best first.
std::vector<Minimum> Basins(const FitProblem& problem, const std::vector<Vector>& starts) {
  const Bounds box = problem.law().Box(problem.loss_range());
  MinimizeOptions options;
  options.max_iterations = 40;
  options.tolerance = 1e-9;
  options.radius = 1;
  std::vector<Minimum> found;
  for (const Vector& start : starts) {
    const Minimum reached = MinimizeHuber(problem, kSmoothDelta, start, box, options);
    const bool known = std::any_of(found.begin(), found.end(), [&](const Minimum& other) {
      return (other.x - reached.x).norm() < 1e-2;
    });
    if (!known) found.push_back(reached);
  }
  std::sort(found.begin(), found.end(),
            [](const Minimum& a, const Minimum& b) { return a.value < b.value; });
  if (found.size() > kCandidates) found.resize(kCandidates);
  return found;
}

}  // namespace

Solution SolveFrom(const FitProblem& problem, const Objective& objective, const Vector& start) {
  return Finish(problem, objective, start, kRefitDelta);
}

Solution SolveGlobally(const FitProblem& problem, const Objective& objective) {
  const std::vector<Vector> starts = problem.law().Starts(problem.loss_range());
  const bool large = problem.size() > kCoarsePoints;
  const std::vector<Minimum> basins =
      Basins(large ? problem.Thinned(kCoarsePoints) : problem, starts);
  Solution best;
  int tried = 0;
  int reached = 0;
  const auto consider = [&](const Solution& solution) {
    ++tried;
    if (tried > 1 && Near(solution.objective_sum, best.objective_sum)) ++reached;
    const bool better = solution.objective_sum < best.objective_sum;
    if (tried > 1 && !better) return;
    if (tried == 1 || !Near(solution.objective_sum, best.objective_sum)) reached = 1;
    best = solution;
  };
  for (const Minimum& basin : basins) consider(Finish(problem, objective, basin.x, kSmoothDelta));
  // Small δ may part one smooth basin into several: look around the best.
  Random random(1);
  const Vector centre = best.x;
  for (int i = 0; i < kShaken; ++i) {
    Vector x = centre;
    for (int c = 0; c < x.size(); ++c) x[c] += (i < kShaken / 2 ? 0.03 : 0.2) * random.Normal();
    consider(Finish(problem, objective, x, i % 2 == 0 ? kSmoothDelta : objective.delta));
  }
  best.starts = static_cast<int>(starts.size()) + kShaken;
  best.starts_best = reached;
  return best;
}

}  // namespace longrun::scaling
