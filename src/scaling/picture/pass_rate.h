// What pass rates look like: the law of the mean log pass rate, the same for each bucket of
// difficulty, and the rates themselves. Pure; any thread.
#pragma once

#include <vector>

#include "scaling/benchmarks/difficulty.h"
#include "scaling/picture/picture.h"

namespace longrun::scaling {

// Panels:
//   law      −E[log p] against compute: models with one standard error, the law, its 80 % band
//   buckets  the same of each bucket, the hardest on top
//   rates    pass rate of each bucket: of the largest model, and foretold at the largest of `at`
// `at`: computes to foretell; may be empty. `whole` and `buckets` as BucketByDifficulty makes them.
Picture PassRatePicture(const ProblemGroup& whole, const std::vector<ProblemGroup>& buckets,
                        const std::vector<double>& at);

}  // namespace longrun::scaling
