#include "cli/scaling/frontier.h"

#include <cmath>
#include <cstdio>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/time.h"
#include "base/units.h"
#include "cli/exit_code.h"
#include "cli/scaling/fit_view.h"
#include "cli/table.h"
#include "scaling/fit/frontier.h"

namespace longrun::cli {
namespace {

using Json = nlohmann::ordered_json;
using scaling::Frontier;
using scaling::FrontierMethod;
using scaling::FrontierPoint;
using scaling::Interval;

struct Answer {
  PointsInput input;
  FrontierMethod method = FrontierMethod::kIsoFlop;
  Frontier frontier;
  std::vector<double> budgets;
  std::vector<Frontier> resamples;
  std::vector<Interval> exponent;      // of N by C
  std::optional<double> law_exponent;  // what Chinchilla's law gives for the same points
  std::string refusal;                 // empty: to be trusted
  double seconds = 0;
};

const char* NameOf(FrontierMethod method) {
  return method == FrontierMethod::kIsoFlop ? "isoflop" : "envelope";
}

std::vector<Interval> ParamsAt(const Answer& answer, double compute) {
  std::vector<double> values;
  for (const Frontier& f : answer.resamples) values.push_back(f.Optimal(compute).params);
  return scaling::Intervals(values);
}

absl::StatusOr<Answer> MakeAnswer(const FrontierFlags& flags) {
  Stopwatch watch;
  Answer answer;
  LR_ASSIGN_OR_RETURN(answer.input, LoadPoints(flags.points));
  answer.method = flags.method == "isoflop" ? FrontierMethod::kIsoFlop : FrontierMethod::kEnvelope;
  const scaling::Points& points = answer.input.points;
  LR_RETURN_IF_ERROR(scaling::CheckPoints(scaling::ChinchillaLaw(), points));
  absl::StatusOr<Frontier> frontier = answer.method == FrontierMethod::kIsoFlop
                                          ? scaling::IsoFlop(points)
                                          : scaling::Envelope(points);
  if (!frontier.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no law: ", std::string(frontier.status().message())));
  }
  answer.frontier = *std::move(frontier);
  answer.seconds = watch.seconds();
  answer.budgets = flags.budgets;
  double largest = 0;
  for (const scaling::Point& p : points) largest = std::max(largest, p.compute);
  if (answer.budgets.empty()) answer.budgets.push_back(10 * largest);
  answer.resamples = ResampleFrontier(answer.method, points, flags.resamples, flags.seed);
  std::vector<double> exponents;
  for (const Frontier& f : answer.resamples) exponents.push_back(f.exponent);
  answer.exponent = scaling::Intervals(exponents);
  const absl::StatusOr<scaling::Fit> law = FitLaw(scaling::ChinchillaLaw(), points, {});
  if (law.ok() && law->trusted()) answer.law_exponent = EstimateGrowth(*law, {})->value;
  const double a = answer.frontier.exponent;
  if (a <= 0 || a >= 1) {
    answer.refusal = absl::StrFormat(
        "the best size goes as C^%.2f, where parameters and tokens both have to grow; run more "
        "sizes at each compute, over two decades of compute",
        a);
  } else if (!answer.exponent.empty() &&
             answer.exponent.back().high - answer.exponent.back().low > 0.5) {
    answer.refusal = absl::StrFormat(
        "the exponent lies between %.2f and %.2f, too wide to tell anything; run more sizes at "
        "each compute, over two decades of compute",
        answer.exponent.back().low, answer.exponent.back().high);
  }
  return answer;
}

void PrintJson(const Answer& answer) {
  const Frontier& f = answer.frontier;
  Json sizes = Json::array();
  for (const FrontierPoint& p : f.points) {
    sizes.push_back({{"compute", p.compute},
                     {"params", p.params},
                     {"tokens", p.tokens},
                     {"loss", p.loss},
                     {"runs", p.runs},
                     {"off_centre", p.off_centre}});
  }
  Json left_out = Json::array();
  for (const scaling::LeftOut& l : f.left_out) {
    left_out.push_back({{"compute", l.compute}, {"runs", l.runs}, {"why", l.why}});
  }
  Json optima = Json::array();
  for (const double compute : answer.budgets) {
    const scaling::Allocation best = f.Optimal(compute);
    optima.push_back({{"compute", compute},
                      {"params", best.params},
                      {"tokens", best.tokens},
                      {"tokens_per_param", best.tokens / best.params},
                      {"intervals", {{"params", IntervalsJson(ParamsAt(answer, compute))}}}});
  }
  std::vector<std::string> warnings = answer.input.warnings;
  warnings.insert(warnings.end(), f.warnings.begin(), f.warnings.end());
  Json refusals = Json::array();
  if (!answer.refusal.empty()) refusals.push_back({{"reason", answer.refusal}});
  Json out{{"law", NameOf(answer.method)},
           {"formula", "N = k*C^a, D = C/(6*N)"},
           {"trusted", answer.refusal.empty()},
           {"refusals", refusals},
           {"objective", f.log_scatter * f.log_scatter * (f.points.size() - 2)},
           {"points", answer.input.points.size()},
           {"dropped", answer.input.dropped.size()},
           {"dropped_rows", DroppedJson(answer.input.dropped)},
           {"parameters", {{"k", std::exp(f.log_k)}, {"a", f.exponent}}},
           {"intervals", {{"a", IntervalsJson(answer.exponent)}}},
           {"optimal", optima},
           {"best_sizes", sizes},
           {"left_out", left_out}};
  if (answer.law_exponent) out["chinchilla_exponent"] = *answer.law_exponent;
  out["warnings"] = warnings;
  out["seconds"] = answer.seconds;
  std::printf("%s\n", out.dump().c_str());
}

std::string OptimaTable(const Answer& answer) {
  std::vector<std::vector<std::string>> rows{
      {"COMPUTE", "PARAMS", "80 %", "TOKENS", "TOKENS/PARAM"}};
  for (const double compute : answer.budgets) {
    const scaling::Allocation best = answer.frontier.Optimal(compute);
    const std::vector<Interval> params = ParamsAt(answer, compute);
    rows.push_back(
        {absl::StrFormat("%.3g", compute), FormatQuantity(best.params),
         params.empty()
             ? ""
             : absl::StrCat(FormatQuantity(params[1].low), " – ", FormatQuantity(params[1].high)),
         FormatQuantity(best.tokens), absl::StrFormat("%.1f", best.tokens / best.params)});
  }
  return absl::StrCat("\ncompute-optimal\n", Table(rows));
}

void PrintText(const Answer& answer) {
  const Frontier& f = answer.frontier;
  std::printf("%s: N = k·C^a, D = C/(6·N), without a law of the loss\n", NameOf(answer.method));
  std::fputs(RowsText(answer.input.read_as, answer.input.source, answer.input.dropped).c_str(),
             stdout);
  std::vector<std::vector<std::string>> rows{{"COMPUTE", "RUNS", "BEST PARAMS", "TOKENS", "LOSS"}};
  for (const FrontierPoint& p : f.points) {
    rows.push_back({absl::StrFormat("%.3g", p.compute), absl::StrCat(p.runs),
                    FormatQuantity(p.params), FormatQuantity(p.tokens),
                    absl::StrFormat("%.4f", p.loss)});
  }
  std::printf("\n%s", Table(rows).c_str());
  int runs = 0;
  for (const scaling::LeftOut& l : f.left_out) runs += l.runs;
  if (runs > 0) {
    std::printf("%zu other computes (%d runs) show no best size: --json says why\n",
                f.left_out.size(), runs);
  }
  if (!answer.refusal.empty()) return;
  std::printf("\nN ∝ C^%.4g", f.exponent);
  if (!answer.exponent.empty()) {
    std::printf(" (80 %%: %.3g – %.3g)", answer.exponent[1].low, answer.exponent[1].high);
  }
  if (answer.law_exponent) std::printf("; --law chinchilla says C^%.4g", *answer.law_exponent);
  std::printf("\n%s", OptimaTable(answer).c_str());
}

}  // namespace

int FitFrontier(const FrontierFlags& flags) {
  const absl::StatusOr<Answer> answer = MakeAnswer(flags);
  if (!answer.ok()) {
    PrintError(answer.status());
    return ExitCodeOf(answer.status());
  }
  const int code = answer->refusal.empty() ? kOk : kFailed;
  if (flags.json) {
    PrintJson(*answer);
    return code;
  }
  PrintText(*answer);
  for (const auto* warnings : {&answer->input.warnings, &answer->frontier.warnings}) {
    for (const std::string& warning : *warnings) {
      std::fprintf(stderr, "warning: %s\n", warning.c_str());
    }
  }
  if (code != kOk) std::fprintf(stderr, "longrun: no law: %s\n", answer->refusal.c_str());
  return code;
}

}  // namespace longrun::cli
