#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "scaling/runs/points_csv.h"

namespace longrun::scaling {
namespace {

constexpr double kFewParams = 1e5;  // whole studies of smaller models are rare; in millions not
constexpr double kFewTokens = 1e6;
constexpr double kUnitGap = 500;      // between neighbours in size: units differ by 1,000
constexpr double kComputeFactor = 4;  // C by 6·N·D, attention and embeddings included

std::vector<double> Sorted(const Points& points, Quantity quantity) {
  std::vector<double> out;
  for (const Point& p : points) {
    if (!std::isnan(p.Get(quantity))) out.push_back(p.Get(quantity));
  }
  std::sort(out.begin(), out.end());
  return out;
}

void SuspectScale(const Points& points, Quantity quantity, double few,
                  std::vector<std::string>& warnings) {
  const std::vector<double> values = Sorted(points, quantity);
  if (values.empty()) return;
  const std::string name(QuantityName(quantity));
  if (values.back() < few) {
    warnings.push_back(absl::StrFormat(
        "%s lie between %.4g and %.4g: in millions or billions? Then write --%s COLUMN:M or "
        "COLUMN:B",
        name, values.front(), values.back(), name));
  }
  for (size_t i = 1; i < values.size(); ++i) {
    if (values[i] < values[i - 1] * kUnitGap) continue;
    warnings.push_back(
        absl::StrFormat("%s jump from %.4g to %.4g: are several units in one column?", name,
                        values[i - 1], values[i]));
    break;
  }
}

// Measured compute against 6·N·D, where a file has all three.
void SuspectCompute(const Points& points, std::vector<std::string>& warnings) {
  std::vector<double> ratios;
  for (const Point& p : points) {
    const double ratio = p.compute / (kFlopPerParamToken * p.params * p.tokens);
    if (!std::isnan(ratio)) ratios.push_back(ratio);
  }
  if (ratios.empty()) return;
  std::sort(ratios.begin(), ratios.end());
  const double median = ratios[ratios.size() / 2];
  if (median < kComputeFactor && median > 1 / kComputeFactor) return;
  warnings.push_back(absl::StrFormat(
      "compute is about %.3g times 6·params·tokens: one of the three is in another unit", median));
}

void SuspectDuplicates(const Points& points, std::vector<std::string>& warnings) {
  const auto comparable = [](double v) { return std::isnan(v) ? -1 : v; };
  std::map<std::tuple<double, double, double, double, double>, int> first;
  std::vector<std::string> pairs;
  size_t count = 0;
  for (const Point& p : points) {
    const auto [at, fresh] =
        first.try_emplace({comparable(p.params), comparable(p.tokens), comparable(p.compute),
                           comparable(p.experts), p.loss},
                          p.line);
    if (fresh) continue;
    ++count;
    if (pairs.size() < 5) pairs.push_back(absl::StrCat(at->second, " and ", p.line));
  }
  if (count == 0) return;
  warnings.push_back(absl::StrCat(count, count == 1 ? " row stands" : " rows stand",
                                  " twice (lines ", absl::StrJoin(pairs, ", "),
                                  count > pairs.size() ? ", …" : "",
                                  "): each counts as often as it stands"));
}

}  // namespace

std::vector<std::string> SuspectUnits(const Points& points) {
  std::vector<std::string> warnings;
  SuspectScale(points, Quantity::kParams, kFewParams, warnings);
  SuspectScale(points, Quantity::kTokens, kFewTokens, warnings);
  SuspectScale(points, Quantity::kCompute, 0, warnings);
  SuspectCompute(points, warnings);
  SuspectDuplicates(points, warnings);
  return warnings;
}

}  // namespace longrun::scaling
