// The same data fitted otherwise: what a choice of δ, of rows or of how parameters are counted does
// to the answer. Any thread.
#pragma once

#include <string>
#include <vector>

#include "scaling/fit/fit.h"

namespace longrun::scaling {

// One way to fit.
struct Variant {
  std::string what;  // "Huber 0.01", "5 highest losses dropped"
  Points points;
  Objective objective;
};

struct VariantResult {
  std::string what;
  int points = 0;
  absl::Status status;  // why there is no fit
  Fit fit;
};

// δ from 1e-5 to 0.1, squares, a free scale; the highest losses in and out; `other_params`: the
// same rows with parameters counted otherwise (empty: not known). `points`: as they were before any
// row was dropped for its loss; the fit drops `highest` of them, with `objective`.
std::vector<Variant> Variants(const Points& points, int highest, const Objective& objective,
                              const Points& other_params);

std::vector<VariantResult> FitVariants(const Law& law, const std::vector<Variant>& variants);

}  // namespace longrun::scaling
