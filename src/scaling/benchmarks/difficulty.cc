#include "scaling/benchmarks/difficulty.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"

namespace longrun::scaling {
namespace {

constexpr double kTrustLevel = 0.95;  // k must differ from 0 at this confidence

double MeanNegLog(const AttemptTable& table, size_t problem) {
  double sum = 0;
  for (size_t m = 0; m < table.model_count(); ++m) {
    const AttemptCell cell = table.cell(problem, m);
    sum += EstimateLogRate(cell.attempts, cell.passes).neg_log;
  }
  return sum / static_cast<double>(table.model_count());
}

std::string Distrust(const DecayLaw& law) {
  const Range k = law.KInterval(kTrustLevel);
  if (k.lo > 0) return "";
  return absl::StrFormat(
      "k = %.3g could as well be 0 (95 %%: %.3g to %.3g): these models do not show that compute "
      "helps; measure models over a wider range of compute, or give each more attempts",
      law.k(), k.lo, k.hi);
}

void FitGroup(ProblemGroup* group) {
  std::vector<DecayPoint> points;
  for (const ModelRates& model : group->models) {
    if (model.neg_log <= 0) {
      group->distrust =
          absl::StrCat("model ", model.model,
                       " solves every problem at every attempt: log p is 0 and no power law holds; "
                       "leave it out or take harder problems");
      return;
    }
    points.push_back({model.compute_flop, model.neg_log, model.se_attempts});
  }
  absl::StatusOr<DecayLaw> law = DecayLaw::Fit(points);
  if (law.ok()) {
    group->distrust = Distrust(*law);
    group->law = *std::move(law);
  } else {
    group->distrust = std::string(law.status().message());
  }
}

// `problems`: each with its mean −log p over the models, ascending.
ProblemGroup MakeGroup(const AttemptTable& table,
                       const std::vector<std::pair<double, size_t>>& problems) {
  LR_CHECK(!problems.empty());
  ProblemGroup group;
  group.easiest = problems.front().first;
  group.hardest = problems.back().first;
  double mean = 0;
  for (const auto& [neg_log, problem] : problems) {
    group.problems.push_back(problem);
    mean += neg_log / static_cast<double>(problems.size());
  }
  for (const auto& [neg_log, problem] : problems) {
    group.shapes.push_back(mean > 0 ? neg_log / mean : 1);
  }
  group.models = RatesOver(table, group.problems);
  FitGroup(&group);
  return group;
}

std::vector<std::pair<double, size_t>> ByDifficulty(const AttemptTable& table,
                                                    const PassRates& rates) {
  std::vector<std::pair<double, size_t>> problems;
  for (const size_t i : rates.counted) problems.emplace_back(MeanNegLog(table, i), i);
  std::sort(problems.begin(), problems.end());
  return problems;
}

}  // namespace

double ProblemGroup::PassRateAt(double neg_log) const {
  double sum = 0;
  for (const double shape : shapes) sum += std::exp(-neg_log * shape);
  return sum / static_cast<double>(shapes.size());
}

RatePrediction ProblemGroup::Predict(double compute_flop, const std::vector<double>& levels) const {
  LR_CHECK(law.has_value());
  RatePrediction prediction;
  prediction.neg_log = law->At(compute_flop);
  prediction.pass_rate = PassRateAt(prediction.neg_log);
  for (const double level : levels) {
    const Range neg_log = law->PredictionInterval(compute_flop, level);
    prediction.neg_logs.push_back(neg_log);
    prediction.pass_rates.push_back({PassRateAt(neg_log.hi), PassRateAt(neg_log.lo)});
  }
  return prediction;
}

ProblemGroup WholeGroup(const AttemptTable& table, const PassRates& rates) {
  return MakeGroup(table, ByDifficulty(table, rates));
}

std::vector<ProblemGroup> BucketByDifficulty(const AttemptTable& table, const PassRates& rates,
                                             int buckets) {
  LR_CHECK_LE(1, buckets);
  const std::vector<std::pair<double, size_t>> problems = ByDifficulty(table, rates);
  const size_t count = std::min(static_cast<size_t>(buckets), problems.size());
  std::vector<ProblemGroup> groups;
  for (size_t b = 0; b < count; ++b) {
    const auto first = problems.begin() + static_cast<long>(b * problems.size() / count);
    const auto last = problems.begin() + static_cast<long>((b + 1) * problems.size() / count);
    groups.push_back(MakeGroup(table, {first, last}));
  }
  return groups;
}

}  // namespace longrun::scaling
