#include "scaling/picture/fit.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "scaling/fit/frontier.h"

namespace longrun::scaling {
namespace {

using Look = Series::Look;

constexpr int kCurvePoints = 60;
constexpr size_t kBandDraws =
    400;  // of the resamples; more of them move a band by less than a line
constexpr double kBandLevel = 0.8;
constexpr double kBeyond = 10;
constexpr double kIsoflopRatio = 1.25;
constexpr size_t kIsoflopLeast = 6;
constexpr size_t kIsoflopMost = 9;

// Against what the line is drawn: the one quantity of the law, or compute.
Quantity AbscissaOf(const Law& law) {
  return law.reads().size() == 1 ? law.reads()[0] : Quantity::kCompute;
}

std::string AbscissaLabel(Quantity quantity) {
  switch (quantity) {
    case Quantity::kParams:
      return "parameters";
    case Quantity::kTokens:
      return "tokens";
    case Quantity::kCompute:
      return "training compute, FLOP";
    case Quantity::kExperts:
      return "experts";
  }
  return "";
}

struct Span {
  double low = 0;
  double high = 0;
};

Span SpanOf(const Points& points, Quantity quantity) {
  Span span{INFINITY, 0};
  for (const Point& point : points) {
    const double value = point.Get(quantity);
    if (!(value > 0)) continue;
    span = {std::min(span.low, value), std::max(span.high, value)};
  }
  return span;
}

std::vector<double> Spaced(double low, double high, int count) {
  std::vector<double> values;
  for (int i = 0; i < count; ++i) {
    values.push_back(low * std::pow(high / low, static_cast<double>(i) / (count - 1)));
  }
  return values;
}

// The law's loss at x; of two quantities, at the best parting of the compute x.
double LossAt(const Law& law, const Vector& parameters, Quantity quantity, double x) {
  if (law.reads().size() > 1) {
    const std::optional<Allocation> best = law.Optimal(parameters, x);
    return best ? best->loss : kUnknown;
  }
  Point point;
  point.Set(quantity, x);
  return law.Loss(parameters, point);
}

// The central part of what the resamples say of each x.
template <class F>
Series Band(const FitRecord& record, const std::vector<double>& x, const F& value_of) {
  Series band;
  band.look = Look::kBand;
  band.label = absl::StrFormat("%.0f %% of the resamples", 100 * kBandLevel);
  const std::vector<Vector>& draws = record.bootstrap.parameters;
  const size_t stride = std::max<size_t>(1, draws.size() / kBandDraws);
  for (const double at : x) {
    std::vector<double> values;
    for (size_t i = 0; i < draws.size(); i += stride) {
      const double value = value_of(draws[i], at);
      if (std::isfinite(value)) values.push_back(value);
    }
    if (values.size() < 20) return {};
    std::sort(values.begin(), values.end());
    band.x.push_back(at);
    band.y.push_back(Quantile(values, (1 - kBandLevel) / 2));
    band.y_high.push_back(Quantile(values, (1 + kBandLevel) / 2));
  }
  return band;
}

template <class F>
Series Curve(Look look, const std::string& label, const std::vector<double>& x, const F& value_of) {
  Series curve;
  curve.look = look;
  curve.label = label;
  for (const double at : x) {
    curve.x.push_back(at);
    curve.y.push_back(value_of(at));
  }
  return curve;
}

void AddIfAny(Panel& panel, Series series) {
  if (!series.x.empty()) panel.series.push_back(std::move(series));
}

std::string TrainedLabel(const Law& law) {
  return law.reads().size() > 1 ? "the law, compute parted at its best" : "the law";
}

Panel Line(const FitRecord& record, double beyond, const Points& reached) {
  const Law& law = *record.fit.law;
  const Quantity quantity = AbscissaOf(law);
  const Span span = SpanOf(record.points, quantity);
  Panel panel;
  panel.name = "line";
  panel.title = absl::StrCat("Loss and ", std::string(law.formula()));
  panel.x = {AbscissaLabel(quantity), true, {}};
  panel.y = {"loss, nats a token", true, {}};
  Series left_out{Look::kRings, "left out of the fit", {}, {}, {}, {}};
  for (const Dropped& dropped : record.dropped) {
    left_out.x.push_back(dropped.point.Get(quantity));
    left_out.y.push_back(dropped.point.loss);
  }
  double end = quantity == Quantity::kCompute && beyond > 0 ? beyond : kBeyond * span.high;
  Series stars{Look::kStars, "reached", {}, {}, {}, {}};
  for (const Point& point : reached) {
    stars.x.push_back(point.Get(quantity));
    stars.y.push_back(point.loss);
    end = std::max(end, std::isfinite(stars.x.back()) ? stars.x.back() : 0);
  }
  for (const double x : left_out.x) end = std::max(end, std::isfinite(x) ? x : 0);
  Series dots{Look::kDots, "measured", {}, {}, {}, {}};
  for (const Point& point : record.points) {
    dots.x.push_back(point.Get(quantity));
    dots.y.push_back(point.loss);
  }
  const auto loss = [&](const Vector& parameters, double x) {
    return LossAt(law, parameters, quantity, x);
  };
  const auto fitted = [&](double x) { return loss(record.fit.parameters, x); };
  AddIfAny(panel, Band(record, Spaced(span.low, end, kCurvePoints), loss));
  AddIfAny(panel, std::move(dots));
  AddIfAny(panel, std::move(left_out));
  AddIfAny(panel, Curve(Look::kLine, TrainedLabel(law), Spaced(span.low, span.high, kCurvePoints),
                        fitted));
  AddIfAny(panel, Curve(Look::kDashes, "beyond what was measured",
                        Spaced(span.high, end, kCurvePoints / 2), fitted));
  AddIfAny(panel, std::move(stars));
  return panel;
}

Panel Residuals(const FitRecord& record) {
  const Quantity quantity = AbscissaOf(*record.fit.law);
  Panel panel;
  panel.name = "residuals";
  panel.title = absl::StrFormat("Residuals: half of them within %.2f %%",
                                100 * record.fit.residual_sd / 1.4826);
  panel.x = {AbscissaLabel(quantity), true, {}};
  panel.y = {"ln measured − ln law, %", false, {}};
  panel.zero_line = true;
  panel.key = Panel::Key::kNone;
  Series dots{Look::kDots, "", {}, {}, {}, {}};
  for (size_t i = 0; i < record.points.size() && i < record.fit.residuals.size(); ++i) {
    dots.x.push_back(record.points[i].Get(quantity));
    dots.y.push_back(100 * record.fit.residuals[i]);
  }
  AddIfAny(panel, std::move(dots));
  return panel;
}

double MedianCompute(const Points& points, const std::vector<size_t>& group) {
  std::vector<double> computes;
  for (const size_t i : group) computes.push_back(points[i].compute);
  std::sort(computes.begin(), computes.end());
  return Quantile(computes, 0.5);
}

// The law at one compute: a curve of the parameters, and its lowest point.
void AddIsoflop(const FitRecord& record, const std::vector<size_t>& group, bool first, Panel& panel,
                Series& lowest) {
  const Law& law = *record.fit.law;
  const double compute = MedianCompute(record.points, group);
  Series dots{Look::kDots, first ? "measured" : "", {}, {}, {}, {}};
  Points points;
  for (const size_t i : group) {
    points.push_back(record.points[i]);
    dots.x.push_back(record.points[i].params);
    dots.y.push_back(record.points[i].loss);
  }
  const Span span = SpanOf(points, Quantity::kParams);
  AddIfAny(panel, std::move(dots));
  AddIfAny(panel, Curve(Look::kThinLine, first ? "the law at their compute" : "",
                        Spaced(span.low, span.high, kCurvePoints), [&](double params) {
                          Point point;
                          point.params = params;
                          point.tokens = compute / (kFlopPerParamToken * params);
                          point.compute = compute;
                          return law.Loss(record.fit.parameters, point);
                        }));
  const std::optional<Allocation> best = law.Optimal(record.fit.parameters, compute);
  if (!best) return;
  lowest.x.push_back(best->params);
  lowest.y.push_back(best->loss);
}

Panel Isoflop(const FitRecord& record, const std::vector<std::vector<size_t>>& groups) {
  Panel panel;
  panel.name = "isoflop";
  panel.title = absl::StrFormat("Runs of equal compute, %.1g (top) to %.1g FLOP",
                                MedianCompute(record.points, groups.front()),
                                MedianCompute(record.points, groups.back()));
  panel.x = {"parameters", true, {}};
  panel.y = {"loss, nats a token", true, {}};
  panel.key = Panel::Key::kBottomLeft;
  Series lowest{Look::kStars, "where the law is lowest", {}, {}, {}, {}};
  for (size_t g = 0; g < groups.size(); ++g) {
    AddIsoflop(record, groups[g], g == 0, panel, lowest);
  }
  AddIfAny(panel, std::move(lowest));
  return panel;
}

Panel BestSizes(const FitRecord& record, double beyond) {
  const Law& law = *record.fit.law;
  const Span span = SpanOf(record.points, Quantity::kCompute);
  const double end = std::max(beyond, kBeyond * span.high);
  const std::vector<double> measured = Spaced(span.low, span.high, kCurvePoints);
  const std::vector<double> further = Spaced(span.high, end, kCurvePoints / 2);
  Panel panel;
  panel.name = "frontier";
  panel.title = "Compute-optimal tokens (above) and parameters (below)";
  panel.x = {AbscissaLabel(Quantity::kCompute), true, {}};
  panel.y = {"parameters, tokens", true, {}};
  panel.key = Panel::Key::kBottomRight;
  const absl::StatusOr<Frontier> parabolas = IsoFlop(record.points);
  for (const bool tokens : {true, false}) {
    const auto size_at = [&](const Vector& parameters, double compute) {
      const std::optional<Allocation> best = law.Optimal(parameters, compute);
      return !best ? kUnknown : tokens ? best->tokens : best->params;
    };
    const auto fitted = [&](double compute) { return size_at(record.fit.parameters, compute); };
    Series band = Band(record, Spaced(span.low, end, kCurvePoints), size_at);
    if (!tokens) band.label.clear();
    AddIfAny(panel, std::move(band));
    AddIfAny(panel, Curve(Look::kLine, tokens ? "the law" : "", measured, fitted));
    AddIfAny(panel,
             Curve(Look::kDashes, tokens ? "beyond what was measured" : "", further, fitted));
    if (!parabolas.ok()) continue;
    Series best{Look::kRings, tokens ? "by isoFLOP parabolas, no law" : "", {}, {}, {}, {}};
    for (const FrontierPoint& point : parabolas->points) {
      best.x.push_back(point.compute);
      best.y.push_back(tokens ? point.tokens : point.params);
    }
    AddIfAny(panel, std::move(best));
  }
  return panel;
}

bool PartsCompute(const FitRecord& record) {
  const Law& law = *record.fit.law;
  const Span span = SpanOf(record.points, Quantity::kCompute);
  return law.reads().size() > 1 && span.high > 0 &&
         law.Optimal(record.fit.parameters, span.high).has_value();
}

}  // namespace

Picture FitPicture(const FitRecord& record, double beyond_flop, const Points& reached) {
  LR_CHECK(record.fit.trusted());
  Picture picture;
  const bool parts = PartsCompute(record);
  if (parts || record.fit.law->reads().size() == 1) {
    picture.panels.push_back(Line(record, beyond_flop, reached));
  }
  if (parts) {
    std::vector<std::vector<size_t>> groups =
        IsoflopGroups(record.points, kIsoflopRatio, kIsoflopLeast);
    if (!groups.empty()) picture.panels.push_back(Isoflop(record, groups));
  }
  picture.panels.push_back(Residuals(record));
  if (parts) picture.panels.push_back(BestSizes(record, beyond_flop));
  return picture;
}

std::vector<std::vector<size_t>> IsoflopGroups(const Points& points, double ratio, size_t least) {
  std::vector<size_t> order;
  for (size_t i = 0; i < points.size(); ++i) {
    if (points[i].compute > 0 && points[i].params > 0) order.push_back(i);
  }
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return points[a].compute < points[b].compute; });
  std::vector<std::vector<size_t>> groups;
  while (groups.size() < kIsoflopMost) {
    // The window of that ratio with most points, those of groups already taken left out.
    size_t best = 0, best_count = 0;
    for (size_t begin = 0, end = 0; begin < order.size(); ++begin) {
      while (end < order.size() &&
             points[order[end]].compute <= ratio * points[order[begin]].compute) {
        ++end;
      }
      if (end - begin > best_count) {
        best = begin;
        best_count = end - begin;
      }
    }
    if (best_count < least) break;
    const auto from = order.begin() + static_cast<std::ptrdiff_t>(best);
    groups.emplace_back(from, from + static_cast<std::ptrdiff_t>(best_count));
    order.erase(from, from + static_cast<std::ptrdiff_t>(best_count));
  }
  std::sort(groups.begin(), groups.end(), [&](const auto& a, const auto& b) {
    return points[a.front()].compute < points[b.front()].compute;
  });
  return groups;
}

}  // namespace longrun::scaling
