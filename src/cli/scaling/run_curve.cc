#include "cli/scaling/run_curve.h"

#include <cmath>
#include <variant>

namespace longrun::cli {

void RunCurveReader::Take(const fleet::Event& event) {
  if (const auto* submitted = std::get_if<fleet::RunSubmitted>(&event.body)) {
    if (submitted->spec.name.text != run_) return;
    seen_ = begun_again_ = true;
  } else if (const auto* committed = std::get_if<fleet::MemberCommitted>(&event.body)) {
    if (committed->run.text != run_) return;
    // A run that begins anew, or goes on from a checkpoint, leaves what came after behind.
    if (begun_again_) steps_.erase(steps_.lower_bound(committed->step), steps_.end());
    begun_again_ = false;
    Step& step = steps_[committed->step];
    step.tokens = committed->tokens;
    if (metric_.empty()) {
      step.loss = committed->loss;
      step.has_loss = true;
    }
  } else if (const auto* metric = std::get_if<fleet::MetricReported>(&event.body)) {
    if (metric->run.text != run_ || metric_.empty() || metric->name != metric_) return;
    Step& step = steps_[metric->step];
    step.loss = metric->value;
    step.has_loss = true;
  }
}

scaling::Curve RunCurveReader::curve() const {
  scaling::Curve curve;
  double tokens = 0;
  for (const auto& [number, step] : steps_) {
    tokens += static_cast<double>(step.tokens);
    if (step.has_loss && tokens > 0 && std::isfinite(step.loss) && step.loss > 0) {
      curve.push_back({tokens, step.loss});
    }
  }
  return curve;
}

}  // namespace longrun::cli
