#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "scaling/runs/points_csv.h"

namespace longrun::scaling {
namespace {

// Moves the points that `wanted` is false for.
template <class Wanted>
void MoveOut(Points& points, std::vector<Dropped>& dropped, const std::string& why,
             const Wanted& wanted) {
  Points kept;
  for (const Point& point : points) {
    if (wanted(point)) {
      kept.push_back(point);
    } else {
      dropped.push_back({point, why});
    }
  }
  points = std::move(kept);
}

// Of the k highest losses the lowest may be shared; then the later rows go.
void DropHighest(int count, Points& points, std::vector<Dropped>& dropped) {
  std::vector<size_t> order(points.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return points[a].loss < points[b].loss; });
  std::vector<bool> goes(points.size(), false);
  const size_t first = points.size() - std::min(points.size(), static_cast<size_t>(count));
  for (size_t i = first; i < order.size(); ++i) goes[order[i]] = true;
  size_t at = 0;
  MoveOut(points, dropped,
          count == 1 ? "the highest loss" : absl::StrCat("one of the ", count, " highest losses"),
          [&](const Point&) { return !goes[at++]; });
}

}  // namespace

absl::StatusOr<std::vector<Dropped>> Drop(const DropRules& rules, Points& points) {
  std::vector<Dropped> dropped;
  if (rules.min_tokens_per_param > 0) {
    MoveOut(points, dropped,
            absl::StrFormat("under %g tokens per parameter", rules.min_tokens_per_param),
            [&](const Point& p) { return !(p.tokens / p.params < rules.min_tokens_per_param); });
  }
  if (rules.max_compute > 0) {
    MoveOut(points, dropped, absl::StrFormat("above %g FLOP", rules.max_compute),
            [&](const Point& p) { return !(p.compute > rules.max_compute); });
  }
  if (rules.highest > 0) DropHighest(rules.highest, points, dropped);
  if (!points.empty()) return dropped;
  return absl::InvalidArgumentError(
      absl::StrCat("the rules leave none of the ", dropped.size(), " points"));
}

}  // namespace longrun::scaling
