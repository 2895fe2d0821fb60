// `longrun passrate`: from attempts to pass rates, the law of their mean log, and what a larger
// model is to be expected to solve.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/units.h"
#include "cli/declared.h"
#include "cli/exit_code.h"
#include "cli/scaling/plot.h"
#include "nlohmann/json.hpp"
#include "scaling/benchmarks/attempts_csv.h"
#include "scaling/benchmarks/difficulty.h"
#include "scaling/picture/pass_rate.h"

namespace longrun::cli {
namespace {

using Json = nlohmann::ordered_json;
using scaling::ModelRates;
using scaling::ProblemGroup;
using scaling::Range;
using scaling::RatePrediction;

const std::vector<double> kLevels{0.5, 0.8, 0.95};
constexpr size_t kShown = 1;         // of kLevels, in tables: 80 %
constexpr size_t kListed = 20;       // censored problems in the table; --json has all
constexpr double kProven = 1000;     // times the largest compute: as far as the GPT-4 report went
constexpr double kLeastFlop = 1e12;  // less is hardly a training run counted in FLOP

struct PassRateFlags {
  std::string file;
  scaling::AttemptColumns columns;
  std::vector<std::string> without;
  std::vector<double> at;
  int buckets = 4;
  PlotFlags plot;
  bool json = false;
};

struct Study {
  scaling::AttemptTable table;
  scaling::PassRates rates;
  std::optional<ProblemGroup> whole;  // none: no problem counts
  std::vector<ProblemGroup> buckets;
  std::vector<std::string> warnings;
  std::string refusal;  // why there is no law to use; empty: there is
};

double LargestCompute(const Study& study) { return study.rates.totals.back().compute_flop; }

// Where few passes hide a part of −E[log p] that sampling error does not cover.
void WarnOfBias(const ProblemGroup& whole, std::vector<std::string>* warnings) {
  for (const ModelRates& model : whole.models) {
    if (model.remaining_bias < std::max(model.se_attempts, 0.02 * model.neg_log)) continue;
    warnings->push_back(absl::StrFormat(
        "%s: its −E[log p] is about %.2g too low, because it solved some problems once or twice "
        "alone; some five passes a problem would take that away: give it more attempts",
        model.model, model.remaining_bias));
  }
}

void WarnOfRange(const Study& study, const std::vector<double>& at,
                 std::vector<std::string>* warnings) {
  const double smallest = study.rates.totals.front().compute_flop;
  const double largest = LargestCompute(study);
  if (smallest < kLeastFlop) {
    warnings->push_back(absl::StrFormat(
        "compute of %g: is that in FLOP? Only the ratios matter to the law, but --at is read in "
        "the file's unit",
        smallest));
  }
  if (largest < 10 * smallest) {
    warnings->push_back(absl::StrFormat(
        "the models' compute spans a factor of %.1f alone; ten or more says where the line goes",
        largest / smallest));
  }
  for (const double compute : at) {
    if (compute > kProven * largest) {
      warnings->push_back(absl::StrFormat(
          "%.3g FLOP is %.0f times the largest model; such laws are known to have held up to 1,000 "
          "times",
          compute, compute / largest));
    }
  }
}

absl::StatusOr<Study> MakeStudy(const PassRateFlags& flags) {
  for (const double compute : flags.at) {
    if (compute > 0 && std::isfinite(compute)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--at ", compute, ": the law knows compute above 0 alone"));
  }
  std::ifstream in(flags.file, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat(flags.file, ": cannot be opened"));
  Study study;
  LR_ASSIGN_OR_RETURN(study.table, ReadAttempts(in, flags.file, flags.columns,
                                                {flags.without.begin(), flags.without.end()}));
  study.rates = SummarizePassRates(study.table);
  WarnOfRange(study, flags.at, &study.warnings);
  if (study.rates.counted.empty()) {
    study.refusal =
        "no problem is solved at least once by every model; give the weak models more attempts, "
        "take easier problems, or leave the weakest model out (--without)";
    return study;
  }
  study.whole = WholeGroup(study.table, study.rates);
  study.buckets = BucketByDifficulty(study.table, study.rates, flags.buckets);
  study.refusal = study.whole->distrust;
  WarnOfBias(*study.whole, &study.warnings);
  return study;
}

// For programs.

Json RangeJson(const Range& interval) { return Json::array({interval.lo, interval.hi}); }

Json LevelsJson(const std::vector<Range>& intervals) {
  Json json;
  for (size_t i = 0; i < kLevels.size(); ++i) {
    json[absl::StrFormat("%.0f", 100 * kLevels[i])] = RangeJson(intervals[i]);
  }
  return json;
}

Json LawJson(const ProblemGroup& group) {
  if (!group.law || !group.distrust.empty()) return {{"refused", group.distrust}};
  std::vector<Range> alphas, exponents;
  for (const double level : kLevels) {
    alphas.push_back(group.law->AlphaInterval(level));
    exponents.push_back(group.law->KInterval(level));
  }
  return {{"law", "-E[log p] = alpha * C^(-k)"},
          {"alpha", group.law->alpha()},
          {"k", group.law->k()},
          {"scatter", group.law->tau()},
          {"intervals", {{"alpha", LevelsJson(alphas)}, {"k", LevelsJson(exponents)}}}};
}

Json GroupJson(const ProblemGroup& group, const std::vector<double>& at) {
  Json json{{"problems", group.problems.size()},
            {"easiest_neg_log_p", group.easiest},
            {"hardest_neg_log_p", group.hardest}};
  for (const ModelRates& model : group.models) {
    json["models"].push_back({{"model", model.model},
                              {"compute", model.compute_flop},
                              {"pass_rate", model.pass_rate},
                              {"mean_neg_log_p", model.neg_log},
                              {"se_attempts", model.se_attempts},
                              {"se_problems", model.se_problems},
                              {"remaining_bias", 0 - model.remaining_bias}});
  }
  json["fit"] = LawJson(group);
  json["predictions"] = Json::array();
  if (!group.distrust.empty()) return json;
  for (const double compute : at) {
    const RatePrediction prediction = group.Predict(compute, kLevels);
    json["predictions"].push_back(
        {{"compute", compute},
         {"orders_beyond", std::log10(compute / group.law->largest_compute_flop())},
         {"mean_neg_log_p", prediction.neg_log},
         {"mean_neg_log_p_intervals", LevelsJson(prediction.neg_logs)},
         {"pass_rate", prediction.pass_rate},
         {"pass_rate_intervals", LevelsJson(prediction.pass_rates)}});
  }
  return json;
}

Json ProblemsJson(const Study& study) {
  Json problems = Json::array();
  for (size_t i = 0; i < study.table.problem_count(); ++i) {
    Json rates;
    for (size_t m = 0; m < study.table.model_count(); ++m) {
      const scaling::AttemptCell cell = study.table.cell(i, m);
      if (cell.attempts == 0) continue;
      rates[study.table.model(m).name] = {
          {"attempts", cell.attempts},
          {"passes", cell.passes},
          {"pass_rate", static_cast<double>(cell.passes) / static_cast<double>(cell.attempts)},
          {"neg_log_p", cell.passes == 0
                            ? Json(nullptr)
                            : Json(scaling::EstimateLogRate(cell.attempts, cell.passes).neg_log)}};
    }
    problems.push_back({{"problem", study.table.problem(i)}, {"models", rates}});
  }
  return problems;
}

void PrintJson(const Study& study, const PassRateFlags& flags) {
  Json json{{"trusted", study.refusal.empty()}};
  json["refused"] = study.refusal.empty() ? Json(nullptr) : Json(study.refusal);
  json["warnings"] = study.warnings;
  json["all"] = study.whole ? GroupJson(*study.whole, flags.at) : Json(nullptr);
  json["buckets"] = Json::array();
  for (const ProblemGroup& bucket : study.buckets) {
    json["buckets"].push_back(GroupJson(bucket, flags.at));
  }
  for (const scaling::ModelTotals& totals : study.rates.totals) {
    json["models"].push_back({{"model", totals.model},
                              {"compute", totals.compute_flop},
                              {"problems", totals.problems},
                              {"attempts", totals.attempts},
                              {"zero_pass", totals.zero_pass},
                              {"pass_rate", totals.pass_rate}});
  }
  json["censored"] = Json::array();
  for (const scaling::CensoredProblem& censored : study.rates.censored) {
    json["censored"].push_back({{"problem", censored.problem},
                                {"unsolved_by", censored.unsolved_by},
                                {"untried_by", censored.untried_by}});
  }
  json["problems"] = ProblemsJson(study);
  std::printf("%s\n", json.dump().c_str());
}

// For people.

void PrintModels(const Study& study) {
  // Two bytes more than columns in "−", one in "±".
  std::printf("%-20s %10s %9s %10s %9s   %11s %11s %11s %9s\n", "MODEL", "FLOP", "PROBLEMS",
              "ZERO-PASS", "PASS RATE", "−E[LOG P]", "±ATTEMPTS", "±PROBLEMS", "BIAS");
  for (size_t m = 0; m < study.rates.totals.size(); ++m) {
    const scaling::ModelTotals& totals = study.rates.totals[m];
    std::printf("%-20s %10.3g %9s %10s %8.2f%%", totals.model.c_str(), totals.compute_flop,
                FormatCount(totals.problems).c_str(), FormatCount(totals.zero_pass).c_str(),
                100 * totals.pass_rate);
    if (study.whole) {
      const ModelRates& rates = study.whole->models[m];
      std::printf("   %9.4f %9.4f %9.4f %9.4f", rates.neg_log, rates.se_attempts, rates.se_problems,
                  rates.remaining_bias < 5e-5 ? 0.0 : -rates.remaining_bias);
    }
    std::printf("\n");
  }
  std::printf(
      "\n−E[log p]: over the %s problems that every model solves, by Σ 1/k from passes+1 to "
      "attempts.\n±: one standard error, by the attempts (these problems) and by the problems too "
      "(others like\nthem). BIAS: about what is left, from leaving out what was never solved.\n",
      FormatCount(static_cast<int64_t>(study.rates.counted.size())).c_str());
}

void PrintLaw(const ProblemGroup& whole) {
  const scaling::DecayLaw& law = *whole.law;
  const Range k = law.KInterval(kLevels[kShown]);
  const Range alpha = law.AlphaInterval(kLevels[kShown]);
  std::printf(
      "\nlaw  −E[log p] = α·C^(−k)    k = %.4f (80 %%: %.4f to %.4f)    α = %.4g (%.4g to %.4g)\n"
      "     scatter beyond sampling error: %.2g %%\n",
      law.k(), k.lo, k.hi, law.alpha(), alpha.lo, alpha.hi, 100 * law.tau());
}

void PrintBuckets(const Study& study) {
  const ModelRates& last = study.whole->models.back();
  std::printf("\n%-8s %9s %22s %18s %8s\n", "BUCKET", "PROBLEMS", "−LOG P (ALL MODELS)",
              absl::StrCat("RATE OF ", last.model).c_str(), "k");
  for (size_t b = 0; b < study.buckets.size(); ++b) {
    const ProblemGroup& bucket = study.buckets[b];
    std::printf("%-8zu %9zu %9.3f to %7.3f %16.2f%% ", b + 1, bucket.problems.size(),
                bucket.easiest, bucket.hardest, 100 * bucket.models.back().pass_rate);
    std::printf("%8s\n", bucket.distrust.empty() ? absl::StrFormat("%.4f", bucket.law->k()).c_str()
                                                 : "none");
  }
  for (size_t b = 0; b < study.buckets.size(); ++b) {
    const std::string& distrust = study.buckets[b].distrust;
    if (!distrust.empty()) std::printf("bucket %zu: %s\n", b + 1, distrust.c_str());
  }
}

void PrintPrediction(const std::string& what, const ProblemGroup& group, double compute) {
  if (!group.distrust.empty()) {
    std::printf("  %-12s no law\n", what.c_str());
    return;
  }
  const RatePrediction prediction = group.Predict(compute, kLevels);
  const Range rate = prediction.pass_rates[kShown];
  const Range neg_log = prediction.neg_logs[kShown];
  std::printf("  %-12s %8.2f%% %8.2f to %6.2f%% %12.4f %8.4f to %.4f\n", what.c_str(),
              100 * prediction.pass_rate, 100 * rate.lo, 100 * rate.hi, prediction.neg_log,
              neg_log.lo, neg_log.hi);
}

void PrintPredictions(const Study& study, const std::vector<double>& at) {
  for (const double compute : at) {
    std::printf("\nat %.4g FLOP, %.1f orders of magnitude %s the largest model\n", compute,
                std::abs(std::log10(compute / LargestCompute(study))),
                compute >= LargestCompute(study) ? "beyond" : "below");
    std::printf("  %-12s %9s %19s %14s %18s\n", "PROBLEMS", "PASS RATE", "80 %", "−E[LOG P]",
                "80 %");
    PrintPrediction("all", *study.whole, compute);
    for (size_t b = 0; b < study.buckets.size(); ++b) {
      PrintPrediction(absl::StrCat("bucket ", b + 1), study.buckets[b], compute);
    }
  }
}

void PrintCensored(const Study& study) {
  const auto& censored = study.rates.censored;
  if (censored.empty()) return;
  std::printf("\ncensored: %zu problems that not every model solved; no law speaks of them\n",
              censored.size());
  for (size_t i = 0; i < std::min(kListed, censored.size()); ++i) {
    std::string why;
    if (!censored[i].unsolved_by.empty()) {
      why = absl::StrCat("no pass by ", absl::StrJoin(censored[i].unsolved_by, ", "));
    }
    if (!censored[i].untried_by.empty()) {
      absl::StrAppend(&why, why.empty() ? "" : "; ", "not tried by ",
                      absl::StrJoin(censored[i].untried_by, ", "));
    }
    std::printf("  %-24s %s\n", censored[i].problem.c_str(), why.c_str());
  }
  if (censored.size() > kListed) {
    std::printf("  … and %zu more: --json lists all\n", censored.size() - kListed);
  }
}

absl::Status Draw(const Study& study, const PassRateFlags& flags) {
  if (!flags.plot.wanted() || !study.whole) return absl::OkStatus();
  return Plot(scaling::PassRatePicture(*study.whole, study.buckets, flags.at), flags.plot);
}

int PassRate(const PassRateFlags& flags) {
  const absl::Status can_draw = CheckPlotFlags(flags.plot);
  if (!can_draw.ok()) {
    PrintError(can_draw);
    return ExitCodeOf(can_draw);
  }
  const absl::StatusOr<Study> study = MakeStudy(flags);
  if (!study.ok()) {
    PrintError(study.status());
    return absl::IsNotFound(study.status()) ? kBadInput : ExitCodeOf(study.status());
  }
  const absl::Status drawn = Draw(*study, flags);
  if (!drawn.ok()) {
    PrintError(drawn);
    return ExitCodeOf(drawn);
  }
  if (flags.json) {
    PrintJson(*study, flags);
    return study->refusal.empty() ? kOk : kFailed;
  }
  PrintModels(*study);
  if (study->refusal.empty()) PrintLaw(*study->whole);
  if (study->whole) PrintBuckets(*study);
  if (study->refusal.empty()) PrintPredictions(*study, flags.at);
  PrintCensored(*study);
  for (const std::string& warning : study->warnings) {
    std::fprintf(stderr, "warning: %s\n", warning.c_str());
  }
  if (study->refusal.empty()) return kOk;
  std::fprintf(stderr, "longrun: no law: %s\n", study->refusal.c_str());
  return kFailed;
}

}  // namespace

void DeclarePassRate(const Declare& declare) {
  const auto flags = std::make_shared<PassRateFlags>();
  Declared& command = declare(
      "passrate", "Foretell pass rates from the attempts of smaller models",
      "  longrun passrate attempts.csv --at 1e25\n"
      "  longrun passrate attempts.csv --at 1e25 --plot rates.svg\n"
      "  longrun passrate evals.csv --problem task --passes correct --without tiny --json\n\n"
      "A row of the CSV is one problem and one model: problem, model, compute (FLOP of the "
      "model's\n"
      "training), attempts, passes. The law is −E[log p] = α·C^(−k) over the problems that every\n"
      "model solves at least once; the others are listed. Exits with 1 where no law can be "
      "trusted.");
  command.words = CommandShape::Words::kFiles;
  command.act = [flags] { return PassRate(*flags); };
  CLI::App* app = command.app;
  app->add_option("ATTEMPTS", flags->file, "The attempts (CSV)")->required()->type_name("FILE");
  app->add_option("--at", flags->at, "Foretell a model of this compute; may be repeated")
      ->type_name("FLOP")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_option("--buckets", flags->buckets, "Parts of equal size by difficulty (4)")
      ->check(CLI::Range(1, 100));
  app->add_option("--without", flags->without, "Leave a model out; may be repeated")
      ->type_name("MODEL")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  const std::pair<const char*, std::string*> columns[] = {{"problem", &flags->columns.problem},
                                                          {"model", &flags->columns.model},
                                                          {"compute", &flags->columns.compute},
                                                          {"attempts", &flags->columns.attempts},
                                                          {"passes", &flags->columns.passes}};
  for (const auto& [name, column] : columns) {
    app->add_option(absl::StrCat("--", name), *column, absl::StrCat("Its column (", name, ")"))
        ->type_name("COLUMN");
  }
  AddPlotFlags(app, flags->plot, "law, buckets, rates");
  app->add_flag("--json", flags->json, "Answer with one JSON object");
}

}  // namespace longrun::cli
