#include "scaling/forecast/curve.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"

namespace longrun::scaling {
namespace {

constexpr double kWindow = 0.05;   // of the tokens so far, that a loss is averaged over
constexpr double kFinished = 0.9;  // of its tokens that a curve must reach to teach a shape
constexpr double kOver = 1.01;     // of the planned tokens, beyond which it is another run
constexpr double kDone = 0.995;    // of them, from which a run counts as finished
constexpr double kFractions[] = {0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0};

// The run had it been planned to end at that fraction of its tokens.
Point EndingAt(Point run, double fraction) {
  run.tokens *= fraction;
  run.compute *= fraction;
  return run;
}

double LogLossEndingAt(const Forecast& forecast, const Point& run, double fraction) {
  return std::log(forecast.law->Loss(forecast.parameters, EndingAt(run, fraction)));
}

// How far a curve is above the law at each fraction; none where the curve does not reach.
std::optional<double> GapAt(const Forecast& forecast, const RunCurve& run, double fraction) {
  const Curve part = UpTo(run.curve, fraction * run.run.tokens);
  if (part.empty() || run.curve.back().tokens < 0.995 * fraction * run.run.tokens) {
    return std::nullopt;
  }
  const SmoothedLoss end = SmoothedEnd(part);
  const double gap =
      std::log(end.loss) - LogLossEndingAt(forecast, run.run, end.tokens / run.run.tokens);
  return std::isfinite(gap) ? std::optional<double>(gap) : std::nullopt;
}

CurveShape::Knot KnotOf(double fraction, const std::vector<double>& gaps) {
  CurveShape::Knot knot{fraction, 0, 0};
  const double count = static_cast<double>(gaps.size());
  for (const double gap : gaps) knot.gap += gap / count;
  double squares = 0;
  for (const double gap : gaps) squares += (gap - knot.gap) * (gap - knot.gap);
  // Of a new run about a mean known from so many.
  knot.deviation = std::sqrt(squares / (count - 1) * (1 + 1 / count));
  return knot;
}

}  // namespace

CurveShape::Knot CurveShape::At(double fraction) const {
  LR_CHECK(!knots.empty());
  if (fraction <= knots.front().fraction) return knots.front();
  for (size_t i = 1; i < knots.size(); ++i) {
    if (fraction > knots[i].fraction) continue;
    const Knot& a = knots[i - 1];
    const Knot& b = knots[i];
    const double part = (fraction - a.fraction) / (b.fraction - a.fraction);
    return {fraction, a.gap + part * (b.gap - a.gap),
            a.deviation + part * (b.deviation - a.deviation)};
  }
  return knots.back();
}

absl::StatusOr<CurveShape> LearnShape(const Forecast& forecast, const std::vector<RunCurve>& runs) {
  std::vector<const RunCurve*> finished;
  for (const RunCurve& run : runs) {
    const bool whole = !run.curve.empty() && run.run.tokens > 0 &&
                       run.curve.back().tokens >= kFinished * run.run.tokens;
    if (whole) finished.push_back(&run);
  }
  if (finished.size() < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat(finished.size(), " of ", runs.size(),
                     " curves reach 90 % of their tokens; two are needed at least to learn how an "
                     "unfinished run lies above the law"));
  }
  CurveShape shape;
  shape.runs = static_cast<int>(finished.size());
  for (const double fraction : kFractions) {
    std::vector<double> gaps;
    for (const RunCurve* run : finished) {
      const std::optional<double> gap = GapAt(forecast, *run, fraction);
      if (gap) gaps.push_back(*gap);
    }
    if (gaps.size() >= 2) shape.knots.push_back(KnotOf(fraction, gaps));
  }
  if (!shape.knots.empty()) return shape;
  return absl::InvalidArgumentError("the law cannot read the runs of these curves");
}

Curve UpTo(const Curve& curve, double tokens) {
  const auto end =
      std::upper_bound(curve.begin(), curve.end(), tokens,
                       [](double t, const CurvePoint& point) { return t < point.tokens; });
  return Curve(curve.begin(), end);
}

SmoothedLoss SmoothedEnd(const Curve& curve) {
  LR_CHECK(!curve.empty());
  const double from = (1 - kWindow) * curve.back().tokens;
  SmoothedLoss end;
  double count = 0, squares = 0;
  for (auto point = curve.rbegin(); point != curve.rend(); ++point) {
    if (point->tokens < from) break;
    ++count;
    end.tokens += point->tokens;
    end.loss += point->loss;
    squares += point->loss * point->loss;
  }
  end.tokens /= count;
  end.loss /= count;
  const double variance = std::max(0.0, squares / count - end.loss * end.loss);
  if (count > 1) end.relative_error = std::sqrt(variance / (count - 1)) / end.loss;
  return end;
}

absl::StatusOr<CurveCheck> CheckCurve(const Forecast& forecast, const Point& planned,
                                      const std::optional<CurveShape>& shape, const Curve& curve) {
  Point target = planned;
  if (std::isnan(target.tokens)) target.tokens = 1;
  if (curve.empty()) return absl::InvalidArgumentError("the curve has no losses yet");
  if (curve.back().tokens > kOver * target.tokens) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the curve goes to %.4g tokens, where the prediction is of a run of %.4g: another run?",
        curve.back().tokens, target.tokens));
  }
  const bool done = curve.back().tokens >= kDone * target.tokens;
  const SmoothedLoss end = SmoothedEnd(curve);
  CurveCheck check;
  check.tokens = curve.back().tokens;
  check.fraction = std::min(1.0, check.tokens / target.tokens);
  check.loss = end.loss;
  const double mean_fraction = end.tokens / target.tokens;
  const Point here = EndingAt(target, mean_fraction);
  LossSpread spread = SpreadAt(forecast, here);
  double middle = LogLossEndingAt(forecast, target, mean_fraction);
  if (shape) {
    const CurveShape::Knot knot = shape->At(mean_fraction);
    middle += knot.gap;
    spread.noise = std::max(spread.noise, knot.deviation);
  }
  if (!std::isfinite(middle)) {
    return absl::InvalidArgumentError("the law does not say what a part of a run reaches");
  }
  spread.noise = std::hypot(spread.noise, end.relative_error);
  check.expected = std::exp(middle);
  const double half80 = HalfWidth(forecast, spread, 0.8);
  const double half95 = HalfWidth(forecast, spread, 0.95);
  check.range80 = {std::exp(middle - half80), std::exp(middle + half80)};
  check.range95 = {std::exp(middle - half95), std::exp(middle + half95)};
  const double off = std::log(end.loss) - middle;
  check.probability = ProbabilityBeyond(forecast, spread, off);
  const bool judged = shape || done || off < 0;
  if (!judged) {
    check.verdict = Verdict::kCannotTell;
  } else if (check.range80.Contains(end.loss)) {
    // Below what a finished run would reach, but not by much: fine for one that is finished, and no
    // verdict on one that is not.
    check.verdict = shape || done ? Verdict::kOnTheLine : Verdict::kCannotTell;
  } else {
    check.verdict = off > 0 ? Verdict::kAbove : Verdict::kBelow;
  }
  return check;
}

std::string VerdictInWords(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOnTheLine:
      return "on the line";
    case Verdict::kAbove:
      return "above the line";
    case Verdict::kBelow:
      return "below the line";
    case Verdict::kCannotTell:
      break;
  }
  return "cannot tell yet";
}

}  // namespace longrun::scaling
