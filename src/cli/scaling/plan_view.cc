#include "cli/scaling/plan_view.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/time.h"
#include "base/units.h"

namespace longrun::cli {
namespace {

using scaling::Allocation;
using scaling::Cluster;
using scaling::Constraint;
using scaling::Execution;
using scaling::Plan;

// "1 node", "1,024 nodes".
std::string Counted(int64_t n, const std::string& noun, const std::string& plural = "s") {
  return absl::StrCat(FormatCount(n), " ", noun, n == 1 ? "" : plural);
}

std::string Count(double n) {
  return n < 1e15 ? FormatCount(std::llround(n)) : absl::StrFormat("%.3g", n);
}

// "5.4 days", "3 h 12 min".
std::string Span(double seconds) {
  if (seconds >= 2 * 86400) return absl::StrFormat("%.1f days", seconds / 86400);
  if (seconds < 60) return absl::StrFormat("%.1f s", seconds);
  return FormatDuration(Duration::Seconds(seconds));
}

std::string Watts(double watts) {
  return watts >= 1e6   ? absl::StrFormat("%.2f MW", watts / 1e6)
         : watts >= 1e3 ? absl::StrFormat("%.1f kW", watts / 1e3)
                        : absl::StrFormat("%.0f W", watts);
}

std::string Money(double amount, const std::string& currency) {
  return amount >= 1e6 ? absl::StrFormat("%.2f million %s", amount / 1e6, currency)
                       : absl::StrCat(Count(amount), " ", currency);
}

class Lines {
 public:
  // A label in the first column; "" goes on with the one before.
  void Add(const std::string& label, const std::string& text) {
    absl::StrAppendFormat(&out_, "%-12s%s\n", label, text);
  }
  void Gap() { out_ += "\n"; }
  void Raw(const std::string& text) { absl::StrAppend(&out_, text, "\n"); }
  const std::string& text() const { return out_; }

 private:
  std::string out_;
};

std::string AllocationText(const Allocation& one) {
  return absl::StrFormat("%s parameters on %s tokens (%.1f a parameter), %.3g FLOP: loss %.4f",
                         FormatQuantity(one.params), FormatQuantity(one.tokens),
                         one.tokens / one.params, one.compute, one.loss);
}

void AddSpread(const Plan& plan, Lines& lines) {
  const auto& spread = plan.intervals;
  for (size_t i = 0; i < spread.params.size(); ++i) {
    const auto range = [](const scaling::Interval& interval) {
      return absl::StrCat(FormatQuantity(interval.low), " to ", FormatQuantity(interval.high));
    };
    lines.Add("", absl::StrFormat("%2.0f %%: %s parameters, %s tokens, %.1f to %.1f a parameter,",
                                  100 * spread.params[i].level, range(spread.params[i]),
                                  range(spread.tokens[i]), spread.tokens_per_param[i].low,
                                  spread.tokens_per_param[i].high));
    lines.Add("",
              absl::StrFormat("      loss %.4f to %.4f", spread.loss[i].low, spread.loss[i].high));
  }
}

void AddModel(const Plan& plan, Lines& lines) {
  lines.Add("model", AllocationText(plan.choice));
  AddSpread(plan, lines);
  if (plan.over_trained) {
    const auto& over = *plan.over_trained;
    lines.Add("to serve", AllocationText(over.choice));
    lines.Add(
        "", absl::StrFormat("%.3g FLOP with serving, %.0f %% less than the %.3g of the above",
                            over.total_flop, 100 * (1 - over.total_flop / over.optimal_total_flop),
                            over.optimal_total_flop));
  }
  const auto& shape = plan.shape;
  lines.Add("shape",
            absl::StrFormat("%s of %s, %s (%d of keys and values), vocabulary %s",
                            Counted(shape.layers, "layer"), Count(shape.width),
                            Counted(shape.heads, "head"), shape.kv_heads, Count(shape.vocabulary)));
  lines.Add("", absl::StrFormat("%.3g FLOP a token at sequences of %s; %s a token of keys and "
                                "values",
                                plan.flop_per_token, Count(plan.context),
                                FormatBytes(plan.kv_bytes_per_token)));
}

void AddLayout(const Execution& execution, const Cluster& cluster, Lines& lines) {
  const auto& choice = execution.layout;
  const auto& memory = choice.memory;
  lines.Add("layout", choice.layout.Describe());
  lines.Add("", absl::StrFormat("%s in %s; stages wait %.1f %%",
                                Counted(execution.accelerators, "accelerator"),
                                Counted(choice.nodes, "node"), 100 * choice.overhead.bubble));
  lines.Add("steps", absl::StrFormat("%s of %s in %s", Count(execution.steps),
                                     Counted(choice.batch_sequences, "sequence"),
                                     Counted(choice.layout.microbatches, "micro-batch", "es")));
  lines.Add("memory",
            absl::StrFormat("%s a rank, of %s usable on each", FormatBytes(memory.total()),
                            FormatBytes(cluster.usable_bytes())));
  lines.Add("", absl::StrFormat("parameters %s, gradients %s, optimizer %s, activations %s",
                                FormatBytes(memory.parameters), FormatBytes(memory.gradients),
                                FormatBytes(memory.optimizer), FormatBytes(memory.activations)));
  lines.Add("speed", absl::StrFormat("MFU %.1f %%: %.1f %% as measured, corrected for how this "
                                     "layout waits, talks, recomputes",
                                     100 * choice.mfu, 100 * cluster.efficiency.mfu));
  lines.Add("", "measured: " + cluster.efficiency.source);
}

void AddTime(const Execution& execution, const Cluster& cluster, Lines& lines) {
  const auto& failures = execution.failures;
  lines.Add("failures", absl::StrFormat("one in %s, %.0f until the end, %s each to notice and "
                                        "restart",
                                        Span(failures.mtbf_seconds), failures.expected,
                                        Span(failures.restart_seconds)));
  lines.Add("", absl::StrFormat("a checkpoint takes %s, best each %s (Daly; Young %s); %s",
                                Span(failures.checkpoint_seconds), Span(failures.interval_seconds),
                                Span(failures.young_seconds),
                                Counted(failures.spare_nodes, "spare node")));
  lines.Add("time", absl::StrFormat("%s, %.1f %% of it effective (to first order %.1f %%)",
                                    Span(execution.seconds), 100 * failures.share,
                                    100 * failures.share_formula));
  lines.Add("", absl::StrFormat("%s without failures", Span(execution.busy_seconds)));
  lines.Add("power", absl::StrFormat("%s at most, %s kWh", Watts(execution.peak_watts),
                                     Count(execution.energy_kwh)));
  lines.Add("cost", execution.cost ? Money(*execution.cost, cluster.price.currency)
                                   : absl::StrCat("unknown: ", cluster.name, " has no price"));
  if (execution.cost) lines.Add("", "price: " + cluster.price.source);
  if (execution.serving_accelerators == 0) return;
  const auto& serving = execution.serving;
  lines.Add("serving", absl::StrFormat("%s: %s of weights each, room for %s of full length",
                                       Counted(execution.serving_accelerators, "accelerator"),
                                       FormatBytes(serving.weights_bytes),
                                       Counted(serving.sequences, "sequence")));
  lines.Add("", FormatBytes(serving.kv_bytes_per_sequence) + " of keys and values each");
}

std::string AmountText(const Constraint& constraint, double amount) {
  if (constraint.unit == "FLOP") return absl::StrFormat("%.3g FLOP", amount);
  if (constraint.unit == "bytes") return FormatBytes(amount);
  if (constraint.unit == "W") return Watts(amount);
  if (constraint.unit == "s") return Span(amount);
  if (constraint.unit == "tokens") return FormatQuantity(amount);
  if (constraint.unit == "accelerators") return Count(amount);
  return Money(amount, constraint.unit);
}

std::string GainText(const Plan& plan, const Constraint& constraint) {
  if (constraint.gain <= 0) return "nothing";
  const double loss_gain = plan.choice.loss - constraint.loss;
  if (loss_gain > 1e-9) return absl::StrFormat("loss %.4f (−%.4f)", constraint.loss, loss_gain);
  if (constraint.seconds) {
    return absl::StrFormat("%s (−%s)", Span(*constraint.seconds), Span(constraint.gain));
  }
  return absl::StrFormat("%.3g FLOP less", constraint.gain);
}

void AddLimits(const Plan& plan, Lines& lines) {
  if (plan.constraints.empty()) return;
  lines.Gap();
  lines.Raw(
      absl::StrFormat("%-13s%18s%18s%8s  %s", "LIMIT", "USED", "OF", "", "A TENTH MORE BUYS"));
  for (const Constraint& one : plan.constraints) {
    const char* mark = one.share() > 1 + 1e-6     ? "  ← exceeded"
                       : one.name == plan.binding ? "  ← binds first"
                                                  : "";
    lines.Raw(absl::StrFormat("%-13s%18s%18s%7.0f%%  %s%s", one.name, AmountText(one, one.used),
                              AmountText(one, one.limit), 100 * one.share(), GainText(plan, one),
                              mark));
  }
  if (plan.feasible) return;
  lines.Gap();
  lines.Raw(absl::StrCat("This is out of the limits' reach; ", plan.binding, " is exceeded most."));
  if (plan.reachable) lines.Raw("Within them: " + AllocationText(*plan.reachable));
}

}  // namespace

std::string PlanText(const Plan& plan, const Cluster* cluster, const std::string& law) {
  Lines lines;
  lines.Add("law", law);
  AddModel(plan, lines);
  if (plan.execution && cluster != nullptr) {
    lines.Gap();
    lines.Add("cluster", absl::StrCat(cluster->name, ", ", Count(cluster->accelerators()), " × ",
                                      cluster->accelerator));
    AddLayout(*plan.execution, *cluster, lines);
    AddTime(*plan.execution, *cluster, lines);
  }
  AddLimits(plan, lines);
  if (!plan.notes.empty()) lines.Gap();
  for (const std::string& note : plan.notes) lines.Raw("Note: " + note + ".");
  return lines.text();
}

}  // namespace longrun::cli
