#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "scaling/fit/frontier.h"

namespace longrun::scaling {
namespace {

constexpr int kLeastSizes = 4;    // a parabola has three numbers
constexpr double kLeastSpan = 2;  // largest by smallest N
constexpr size_t kLeastComputes = 3;

struct Group {
  Points points;
  double log_compute = 0;  // mean
  double log_params = 0;   // mean
  double low = 0;          // ln N
  double high = 0;
};

Group MakeGroup(const Points& points) {
  Group group{points};
  group.low = group.high = std::log(points[0].params);
  for (const Point& p : points) {
    const double n = std::log(p.params);
    group.log_compute += std::log(p.compute) / static_cast<double>(points.size());
    group.log_params += n / static_cast<double>(points.size());
    group.low = std::min(group.low, n);
    group.high = std::max(group.high, n);
  }
  return group;
}

int DistinctSizes(const Points& points) {
  std::vector<double> sizes;
  for (const Point& p : points) sizes.push_back(std::log(p.params));
  std::sort(sizes.begin(), sizes.end());
  int count = 1;
  for (size_t i = 1; i < sizes.size(); ++i) count += sizes[i] - sizes[i - 1] > 0.02 ? 1 : 0;
  return count;
}

// Runs whose compute lies together, and those that are too few to be a group.
std::vector<Group> GroupByCompute(Points points, double tolerance, Frontier& frontier) {
  std::sort(points.begin(), points.end(),
            [](const Point& a, const Point& b) { return a.compute < b.compute; });
  std::vector<Group> out;
  size_t from = 0;
  for (size_t i = 1; i <= points.size(); ++i) {
    if (i < points.size() && points[i].compute <= points[i - 1].compute * (1 + tolerance)) continue;
    const Points members(points.begin() + static_cast<int64_t>(from),
                         points.begin() + static_cast<int64_t>(i));
    from = i;
    Group group = MakeGroup(members);
    const int sizes = DistinctSizes(members);
    if (sizes >= kLeastSizes && group.high - group.low >= std::log(kLeastSpan)) {
      out.push_back(std::move(group));
    } else {
      frontier.left_out.push_back({std::exp(group.log_compute), static_cast<int>(members.size()),
                                   absl::StrCat(sizes, sizes == 1 ? " size" : " sizes", " alone")});
    }
  }
  return out;
}

// Holds the slope by ln C near 0 where runs of a group do not differ in compute.
constexpr double kRidge = 0.03;

// L = p_g + q_g·n + r_g·n² + s·c of all groups at once: n and c are ln N and ln C from the group's
// mean, and s, which the groups share, takes out what differences of compute within a group do.
Eigen::VectorXd Parabolas(const std::vector<Group>& groups) {
  int rows = 0;
  for (const Group& group : groups) rows += static_cast<int>(group.points.size());
  const int last = static_cast<int>(3 * groups.size());
  Eigen::MatrixXd a = Eigen::MatrixXd::Zero(rows + 1, last + 1);
  Eigen::VectorXd b(rows + 1);
  int row = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const Point& p : groups[g].points) {
      const double n = std::log(p.params) - groups[g].log_params;
      a.block<1, 3>(row, static_cast<int>(3 * g)) << 1, n, n * n;
      a(row, last) = std::log(p.compute) - groups[g].log_compute;
      b[row++] = p.loss;
    }
  }
  a(rows, last) = kRidge;
  b[rows] = 0;
  return a.colPivHouseholderQr().solve(b);
}

}  // namespace

absl::StatusOr<Frontier> IsoFlop(const Points& points, double tolerance) {
  Frontier frontier;
  const std::vector<Group> groups = GroupByCompute(points, tolerance, frontier);
  const Eigen::VectorXd found = groups.empty() ? Eigen::VectorXd() : Parabolas(groups);
  for (size_t g = 0; g < groups.size(); ++g) {
    const Group& group = groups[g];
    const int at = static_cast<int>(3 * g);
    const double curvature = found[at + 2];
    const double vertex = -found[at + 1] / (2 * curvature);
    const double log_params = group.log_params + vertex;
    const double compute = std::exp(group.log_compute);
    const int runs = static_cast<int>(group.points.size());
    const bool inside = log_params > group.low && log_params < group.high;
    if (curvature <= 0 || !inside) {
      frontier.left_out.push_back({compute, runs,
                                   curvature <= 0 ? "the losses have no valley"
                                                  : "the best size lies outside the sizes run"});
      continue;
    }
    FrontierPoint& p = frontier.points.emplace_back();
    p.compute = compute;
    p.params = std::exp(log_params);
    p.tokens = compute / (kFlopPerParamToken * p.params);
    p.loss = found[at] + found[at + 1] * vertex / 2;
    p.runs = runs;
    p.off_centre = (2 * log_params - group.low - group.high) / (group.high - group.low);
  }
  if (frontier.points.size() < kLeastComputes) {
    return absl::InvalidArgumentError(
        absl::StrCat(frontier.points.size(), " computes show a best size where ", kLeastComputes,
                     " are needed; run at least ", kLeastSizes,
                     " sizes at each of several computes, round the best"));
  }
  FitGrowth(frontier);
  return frontier;
}

}  // namespace longrun::scaling
