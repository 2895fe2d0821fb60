#include "scaling/fit/frontier.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_format.h"
#include "base/random.h"

namespace longrun::scaling {
namespace {

constexpr double kOffCentre = 0.5;

Points DrawRuns(const std::vector<Points>& groups, bool within, Random& random) {
  Points out;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (!within) {
      const Points& run = groups[random.Below(groups.size())];
      out.insert(out.end(), run.begin(), run.end());
      continue;
    }
    for (size_t j = 0; j < groups[i].size(); ++j) {
      out.push_back(groups[i][random.Below(groups[i].size())]);
    }
  }
  return out;
}

}  // namespace

Allocation Frontier::Optimal(double compute_flop) const {
  Allocation out;
  out.compute = compute_flop;
  out.params = std::exp(log_k + exponent * std::log(compute_flop));
  out.tokens = compute_flop / (kFlopPerParamToken * out.params);
  out.loss = kUnknown;
  return out;
}

double Frontier::ComputeFor(double params) const {
  return std::exp((std::log(params) - log_k) / exponent);
}

void FitGrowth(Frontier& frontier) {
  const double count = static_cast<double>(frontier.points.size());
  double mean_c = 0;
  double mean_n = 0;
  int off_centre = 0;
  for (const FrontierPoint& p : frontier.points) {
    mean_c += std::log(p.compute) / count;
    mean_n += std::log(p.params) / count;
    if (std::abs(p.off_centre) > kOffCentre) ++off_centre;
  }
  double cc = 0;
  double cn = 0;
  for (const FrontierPoint& p : frontier.points) {
    const double c = std::log(p.compute) - mean_c;
    cc += c * c;
    cn += c * (std::log(p.params) - mean_n);
  }
  frontier.exponent = cn / cc;
  frontier.log_k = mean_n - frontier.exponent * mean_c;
  double squares = 0;
  for (const FrontierPoint& p : frontier.points) {
    const double r = std::log(p.params) - frontier.log_k - frontier.exponent * std::log(p.compute);
    squares += r * r;
  }
  frontier.log_scatter = std::sqrt(squares / std::max(1.0, count - 2));
  if (off_centre > 0) {
    frontier.warnings.push_back(absl::StrFormat(
        "at %d of %d computes the best size lies far from the middle of the sizes run, which bends "
        "parabolas: run more sizes on the short side, and compare --law chinchilla",
        off_centre, static_cast<int>(count)));
  }
}

std::vector<Frontier> ResampleFrontier(FrontierMethod method, const Points& points, int resamples,
                                       uint64_t seed) {
  const bool isoflop = method == FrontierMethod::kIsoFlop;
  std::map<double, Points> by;
  if (isoflop) {
    const absl::StatusOr<Frontier> whole = IsoFlop(points);
    if (!whole.ok()) return {};
    for (const Point& p : points) {
      // The compute that the whole data puts the point at.
      const auto nearest = std::min_element(whole->points.begin(), whole->points.end(),
                                            [&](const FrontierPoint& a, const FrontierPoint& b) {
                                              return std::abs(std::log(a.compute / p.compute)) <
                                                     std::abs(std::log(b.compute / p.compute));
                                            });
      by[nearest->compute].push_back(p);
    }
  } else {
    for (const Point& p : points) by[p.run].push_back(p);
  }
  std::vector<Points> groups;
  for (auto& [key, members] : by) groups.push_back(std::move(members));
  std::vector<Frontier> out;
  for (int i = 0; i < resamples; ++i) {
    Random random(Mix64(seed) ^ Mix64(static_cast<uint64_t>(i) + 1));
    const Points drawn = DrawRuns(groups, isoflop, random);
    absl::StatusOr<Frontier> frontier = isoflop ? IsoFlop(drawn) : Envelope(drawn);
    if (frontier.ok()) out.push_back(*std::move(frontier));
  }
  return out;
}

}  // namespace longrun::scaling
