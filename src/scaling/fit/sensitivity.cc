#include "scaling/fit/sensitivity.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "scaling/runs/points_csv.h"

namespace longrun::scaling {
namespace {

// Without the highest losses; all where nothing would be left.
Points Without(const Points& points, int highest) {
  Points kept = points;
  DropRules rules;
  rules.highest = highest;
  return Drop(rules, kept).ok() ? kept : points;
}

std::string Highest(int count) {
  if (count == 0) return "no loss dropped for its height";
  return count == 1 ? "the highest loss dropped"
                    : absl::StrCat("the ", count, " highest losses dropped");
}

}  // namespace

std::vector<Variant> Variants(const Points& points, int highest, const Objective& objective,
                              const Points& other_params) {
  const Points kept = Without(points, highest);
  std::vector<Variant> out{{"as asked", kept, objective}};
  for (const double delta : {1e-5, 1e-4, 1e-3, 1e-2, 1e-1}) {
    out.push_back({absl::StrCat("Huber ", delta), kept, {Objective::Kind::kHuber, delta}});
  }
  out.push_back({"Huber density, free scale", kept, {Objective::Kind::kHuberDensity, 1e-3}});
  out.push_back({"squares of the loss", kept, {Objective::Kind::kSquares}});
  for (const int count : std::set<int>{0, 1, 5, 10, 20}) {
    if (count == highest) continue;
    out.push_back({Highest(count), Without(points, count), objective});
  }
  if (!other_params.empty()) {
    out.push_back({"parameters counted otherwise", Without(other_params, highest), objective});
  }
  return out;
}

std::vector<VariantResult> FitVariants(const Law& law, const std::vector<Variant>& variants) {
  std::vector<VariantResult> out;
  for (const Variant& variant : variants) {
    VariantResult& result = out.emplace_back();
    result.what = variant.what;
    result.points = static_cast<int>(variant.points.size());
    absl::StatusOr<Fit> fit = FitLaw(law, variant.points, variant.objective);
    result.status = fit.status();
    if (fit.ok()) result.fit = *std::move(fit);
  }
  return out;
}

}  // namespace longrun::scaling
