#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "scaling/fit/frontier.h"

namespace longrun::scaling {
namespace {

constexpr size_t kLeastComputes = 5;

}  // namespace

absl::StatusOr<Frontier> Envelope(const Points& points, int per_decade) {
  std::map<int64_t, Points> bins;
  for (const Point& p : points) {
    bins[static_cast<int64_t>(std::floor(std::log10(p.compute) * per_decade))].push_back(p);
  }
  Frontier frontier;
  double best_so_far = HUGE_VAL;
  for (const auto& [bin, members] : bins) {
    // Of equal losses the cheaper run; then the order of the rows does not matter.
    const Point& best =
        *std::min_element(members.begin(), members.end(), [](const Point& a, const Point& b) {
          return std::tie(a.loss, a.compute, a.params) < std::tie(b.loss, b.compute, b.params);
        });
    const int runs = static_cast<int>(members.size());
    if (best.loss >= best_so_far) {
      frontier.left_out.push_back({best.compute, runs, "a cheaper run is as good"});
      continue;
    }
    best_so_far = best.loss;
    frontier.points.push_back({best.compute, best.params,
                               best.compute / (kFlopPerParamToken * best.params), best.loss, runs,
                               0});
  }
  if (frontier.points.size() < kLeastComputes) {
    return absl::InvalidArgumentError(
        absl::StrCat(frontier.points.size(), " runs lie on the envelope where ", kLeastComputes,
                     " are needed; give whole training curves of several sizes"));
  }
  FitGrowth(frontier);
  return frontier;
}

}  // namespace longrun::scaling
