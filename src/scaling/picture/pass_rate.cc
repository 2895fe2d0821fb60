#include "scaling/picture/pass_rate.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace longrun::scaling {
namespace {

using Look = Series::Look;

constexpr int kCurvePoints = 40;
constexpr double kLevel = 0.8;

bool Lawful(const ProblemGroup& group) { return group.law && group.distrust.empty(); }

std::vector<double> Spaced(double low, double high) {
  std::vector<double> values;
  for (int i = 0; i < kCurvePoints; ++i) {
    values.push_back(low * std::pow(high / low, static_cast<double>(i) / (kCurvePoints - 1)));
  }
  return values;
}

// From the smallest model to the largest, and on to the largest compute asked for.
struct Reach {
  double smallest = 0;
  double largest = 0;
  double end = 0;
};

Reach ReachOf(const ProblemGroup& group, const std::vector<double>& at) {
  Reach reach{group.models.front().compute_flop, group.models.back().compute_flop, 0};
  reach.end = at.empty() ? 10 * reach.largest : reach.largest;
  for (const double compute : at) reach.end = std::max(reach.end, compute);
  return reach;
}

Series Measured(const ProblemGroup& group, const std::string& label) {
  Series series;
  series.look = Look::kWhiskers;
  series.label = label;
  for (const ModelRates& model : group.models) {
    series.x.push_back(model.compute_flop);
    series.y.push_back(model.neg_log);
    // An axis of logarithms has no place for what reaches 0.
    series.y_low.push_back(std::max(model.neg_log / 10, model.neg_log - model.se_attempts));
    series.y_high.push_back(model.neg_log + model.se_attempts);
  }
  return series;
}

Series Curve(const ProblemGroup& group, Look look, double low, double high,
             const std::string& label) {
  Series series;
  series.look = look;
  series.label = label;
  series.x = Spaced(low, high);
  for (const double compute : series.x) series.y.push_back(group.law->At(compute));
  return series;
}

Series Band(const ProblemGroup& group, const Reach& reach) {
  Series series;
  series.look = Look::kBand;
  series.label = "80 % of models like these";
  series.x = Spaced(reach.smallest, reach.end);
  for (const double compute : series.x) {
    const auto range = group.law->PredictionInterval(compute, kLevel);
    series.y.push_back(range.lo);
    series.y_high.push_back(range.hi);
  }
  return series;
}

void AddLaw(const ProblemGroup& group, const Reach& reach, bool labels, Panel& panel) {
  if (!Lawful(group)) return;
  panel.series.push_back(
      Curve(group, Look::kLine, reach.smallest, reach.largest, labels ? "the law" : ""));
  if (reach.end > reach.largest) {
    panel.series.push_back(Curve(group, Look::kDashes, reach.largest, reach.end,
                                 labels ? "beyond the largest model" : ""));
  }
}

Panel LawPanel(const ProblemGroup& whole, const Reach& reach) {
  Panel panel;
  panel.name = "law";
  panel.title = absl::StrFormat("Mean log pass rate over %d problems", whole.problems.size());
  panel.x = {"training compute, FLOP", true, {}};
  panel.y = {"−E[log p]", true, {}};
  if (Lawful(whole)) panel.series.push_back(Band(whole, reach));
  AddLaw(whole, reach, true, panel);
  panel.series.push_back(Measured(whole, "models, ± one standard error"));
  return panel;
}

Panel BucketsPanel(const std::vector<ProblemGroup>& buckets, const Reach& reach) {
  Panel panel;
  panel.name = "buckets";
  panel.title = absl::StrFormat("Buckets of difficulty, the hardest of %d on top", buckets.size());
  panel.x = {"training compute, FLOP", true, {}};
  panel.y = {"−E[log p]", true, {}};
  panel.key = Panel::Key::kNone;
  for (const ProblemGroup& bucket : buckets) {
    AddLaw(bucket, reach, false, panel);
    panel.series.push_back(Measured(bucket, ""));
  }
  return panel;
}

Panel RatesPanel(const std::vector<ProblemGroup>& buckets, const Reach& reach) {
  Panel panel;
  panel.name = "rates";
  panel.title = "Pass rate by bucket";
  panel.x.label = "bucket, the easiest first";
  panel.y.label = "pass rate, %";
  Series now{Look::kBars, absl::StrCat("of ", buckets[0].models.back().model), {}, {}, {}, {}};
  Series then{
      Look::kWhiskers, absl::StrFormat("foretold at %.3g FLOP, 80 %%", reach.end), {}, {}, {}, {}};
  for (size_t b = 0; b < buckets.size(); ++b) {
    const double at = static_cast<double>(b) + 1;
    panel.x.names.push_back(absl::StrCat(b + 1));
    now.x.push_back(at);
    now.y.push_back(100 * buckets[b].models.back().pass_rate);
    if (!Lawful(buckets[b])) continue;
    const RatePrediction prediction = buckets[b].Predict(reach.end, {kLevel});
    then.x.push_back(at);
    then.y.push_back(100 * prediction.pass_rate);
    then.y_low.push_back(100 * prediction.pass_rates[0].lo);
    then.y_high.push_back(100 * prediction.pass_rates[0].hi);
  }
  panel.series.push_back(std::move(now));
  if (!then.x.empty()) panel.series.push_back(std::move(then));
  return panel;
}

}  // namespace

Picture PassRatePicture(const ProblemGroup& whole, const std::vector<ProblemGroup>& buckets,
                        const std::vector<double>& at) {
  const Reach reach = ReachOf(whole, at);
  Picture picture;
  picture.panels.push_back(LawPanel(whole, reach));
  if (buckets.empty()) return picture;
  picture.panels.push_back(BucketsPanel(buckets, reach));
  picture.panels.push_back(RatesPanel(buckets, reach));
  return picture;
}

}  // namespace longrun::scaling
