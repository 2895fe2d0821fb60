// What a fit looks like: the line with its points and what it foretells, isoFLOP curves, residuals,
// and the compute-optimal sizes. Pure; any thread.
#pragma once

#include "scaling/fit/fit_file.h"
#include "scaling/picture/picture.h"

namespace longrun::scaling {

// Panels, where the law and the points allow them:
//   line       loss against compute (or the one size that the law reads): points, the law, an 80 %
//              band of the resamples, its continuation to ten times beyond what is shown, and the
//              rows that rules left out, and what was reached since
//   isoflop    loss against parameters, points of about equal compute joined with the law's curve
//   residuals  ln L − ln L̂ against compute
//   frontier   compute-optimal parameters and tokens against compute, with 80 % bands, and what
//              isoFLOP parabolas make of them
// `fit` must be trusted. `beyond_flop`: how far the line is drawn; 0: ten times the largest point.
// `reached`: runs that the law had not seen, with compute (or what the law reads) and loss.
Picture FitPicture(const FitRecord& record, double beyond_flop, const Points& reached = {});

// Points of about equal compute: the largest groups within `ratio` of each other, at least
// `least` points each; the smallest compute first. Numbers in `points`.
std::vector<std::vector<size_t>> IsoflopGroups(const Points& points, double ratio, size_t least);

}  // namespace longrun::scaling
