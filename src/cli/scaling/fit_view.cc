#include "cli/scaling/fit_view.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/units.h"
#include "cli/table.h"

namespace longrun::cli {
namespace {

using Json = nlohmann::ordered_json;
using scaling::Dropped;
using scaling::Fit;
using scaling::Interval;

constexpr size_t kShownDropped = 10;

Json ParametersJson(const Fit& fit) {
  Json out = Json::object();
  for (size_t i = 0; i < fit.law->parameters().size(); ++i) {
    out[fit.law->parameters()[i].name] = fit.parameters[static_cast<int>(i)];
  }
  return out;
}

Json OptimumJson(const scaling::OptimumEstimate& o) {
  return {{"compute", o.best.compute},
          {"params", o.best.params},
          {"tokens", o.best.tokens},
          {"tokens_per_param", o.best.tokens / o.best.params},
          {"loss", o.best.loss},
          {"intervals",
           {{"params", IntervalsJson(o.params)},
            {"tokens", IntervalsJson(o.tokens)},
            {"tokens_per_param", IntervalsJson(o.tokens_per_param)},
            {"loss", IntervalsJson(o.loss)}}}};
}

Json SensitivityJson(const std::vector<scaling::VariantResult>& results) {
  Json out = Json::array();
  for (const scaling::VariantResult& result : results) {
    Json row{{"what", result.what}, {"points", result.points}};
    if (!result.status.ok()) {
      row["error"] = std::string(result.status.message());
    } else {
      row["objective"] = result.fit.objective_sum;
      row["parameters"] = ParametersJson(result.fit);
      row["trusted"] = result.fit.trusted();
    }
    out.push_back(row);
  }
  return out;
}

std::string Range(const std::vector<Interval>& intervals, size_t level, bool counts) {
  if (intervals.empty()) return "";
  const Interval& i = intervals[level];
  if (counts) return absl::StrCat(FormatQuantity(i.low), " – ", FormatQuantity(i.high));
  return absl::StrFormat("%.5g – %.5g", i.low, i.high);
}

std::string Head(const FitAnswer& answer) {
  const Fit& fit = answer.record.fit;
  return absl::StrCat(
      std::string(fit.law->name()), ": ", std::string(fit.law->formula()), "\n",
      absl::StrFormat("%d points of %d rows; %s: %.9g\n", fit.points, answer.record.source.rows,
                      fit.objective.Describe(), fit.objective_sum),
      RowsText(answer.read_as, answer.record.source, answer.record.dropped));
}

std::string Parameters(const FitAnswer& answer) {
  const Fit& fit = answer.record.fit;
  const scaling::Bootstrap& bootstrap = answer.record.bootstrap;
  const bool resampled = !bootstrap.parameters.empty();
  std::vector<std::vector<std::string>> rows{{"PARAMETER", "VALUE", "±"}};
  if (resampled) rows[0].insert(rows[0].end(), {"50 %", "80 %", "95 %"});
  for (size_t i = 0; i < fit.law->parameters().size(); ++i) {
    const int index = static_cast<int>(i);
    const std::vector<double> spread = Spread(bootstrap, index);
    const double error =
        resampled ? scaling::StandardDeviation(spread) : fit.identifiability.standard_errors[index];
    std::vector<std::string>& row = rows.emplace_back();
    row = {fit.law->parameters()[i].name, absl::StrFormat("%.6g", fit.parameters[index]),
           absl::StrFormat("%.3g", error)};
    const std::vector<Interval> intervals = scaling::Intervals(spread);
    for (size_t level = 0; resampled && level < intervals.size(); ++level) {
      row.push_back(Range(intervals, level, false));
    }
  }
  if (answer.growth) {
    std::vector<std::string>& row = rows.emplace_back();
    row = {"N ∝ C^", absl::StrFormat("%.4g", answer.growth->value),
           absl::StrFormat("%.3g", answer.growth->standard_error)};
    for (size_t level = 0; level < answer.growth->intervals.size(); ++level) {
      row.push_back(Range(answer.growth->intervals, level, false));
    }
  }
  return Table(rows);
}

std::string Optima(const FitAnswer& answer) {
  if (answer.optima.empty()) return "";
  std::vector<std::vector<std::string>> rows{
      {"COMPUTE", "PARAMS", "80 %", "TOKENS", "80 %", "TOKENS/PARAM", "80 %", "LOSS"}};
  for (const scaling::OptimumEstimate& o : answer.optima) {
    rows.push_back({absl::StrFormat("%.3g", o.best.compute), FormatQuantity(o.best.params),
                    Range(o.params, 1, true), FormatQuantity(o.best.tokens),
                    Range(o.tokens, 1, true),
                    absl::StrFormat("%.1f", o.best.tokens / o.best.params),
                    Range(o.tokens_per_param, 1, false), absl::StrFormat("%.4f", o.best.loss)});
  }
  return absl::StrCat("\ncompute-optimal\n", Table(rows));
}

std::string Sensitivity(const FitAnswer& answer) {
  if (answer.sensitivity.empty()) return "";
  const scaling::Law& law = *answer.record.fit.law;
  const double compute = answer.optima.empty() ? 0 : answer.optima[0].best.compute;
  std::vector<std::vector<std::string>> rows{{"FITTED OTHERWISE", "POINTS"}};
  for (const scaling::ParameterInfo& p : law.parameters()) rows[0].push_back(p.name);
  if (compute > 0) rows[0].push_back(absl::StrFormat("TOKENS/PARAM AT %.3g", compute));
  for (const scaling::VariantResult& result : answer.sensitivity) {
    std::vector<std::string>& row = rows.emplace_back();
    row = {result.what, absl::StrCat(result.points)};
    if (!result.status.ok() || !result.fit.trusted()) {
      row.push_back(result.status.ok() ? "not to be trusted" : "no fit");
      continue;
    }
    for (const double value : result.fit.parameters) {
      row.push_back(absl::StrFormat("%.5g", value));
    }
    if (compute > 0) {
      const auto best = law.Optimal(result.fit.parameters, compute);
      row.push_back(absl::StrFormat("%.1f", best->tokens / best->params));
    }
  }
  return absl::StrCat("\n", Table(rows));
}

}  // namespace

Json IntervalsJson(const std::vector<Interval>& intervals) {
  Json out = Json::object();
  for (const Interval& i : intervals) {
    out[absl::StrFormat("%.0f", 100 * i.level)] = Json::array({i.low, i.high});
  }
  return out;
}

Json DroppedJson(const std::vector<Dropped>& dropped) {
  Json out = Json::array();
  for (const Dropped& d : dropped) {
    Json row{{"line", d.point.line}, {"loss", d.point.loss}, {"why", d.why}};
    for (const scaling::Quantity quantity : scaling::kQuantities) {
      const double value = d.point.Get(quantity);
      if (!std::isnan(value)) row[std::string(scaling::QuantityName(quantity))] = value;
    }
    out.push_back(row);
  }
  return out;
}

std::string RowsText(const std::vector<std::string>& read_as, const scaling::DataSource& source,
                     const std::vector<Dropped>& dropped) {
  std::string out;
  if (!read_as.empty()) absl::StrAppend(&out, "read ", absl::StrJoin(read_as, ", "), "\n");
  if (source.other_rows > 0) {
    absl::StrAppend(&out, source.other_rows, " rows left out by --where\n");
  }
  if (!dropped.empty()) absl::StrAppend(&out, "dropped ", dropped.size(), ":\n");
  for (size_t i = 0; i < std::min(dropped.size(), kShownDropped); ++i) {
    absl::StrAppendFormat(&out, "  line %d: loss %.4f, %s\n", dropped[i].point.line,
                          dropped[i].point.loss, dropped[i].why);
  }
  if (dropped.size() > kShownDropped) {
    absl::StrAppend(&out, "  … and ", dropped.size() - kShownDropped, " more: --json lists all\n");
  }
  return out;
}

Json FitJson(const FitAnswer& answer) {
  const scaling::FitRecord& record = answer.record;
  const Fit& fit = record.fit;
  std::vector<std::string> warnings = answer.warnings;
  warnings.insert(warnings.end(), fit.warnings.begin(), fit.warnings.end());
  Json intervals = Json::object();
  Json errors = Json::object();
  if (!record.bootstrap.parameters.empty()) {
    for (size_t i = 0; i < fit.law->parameters().size(); ++i) {
      const std::vector<double> spread = Spread(record.bootstrap, static_cast<int>(i));
      intervals[fit.law->parameters()[i].name] = IntervalsJson(scaling::Intervals(spread));
      errors[fit.law->parameters()[i].name] = scaling::StandardDeviation(spread);
    }
  }
  Json refusals = Json::array();
  for (const scaling::Refusal& refusal : fit.refusals) {
    refusals.push_back({{"reason", refusal.reason}, {"measure_next", refusal.measure_next}});
  }
  Json optima = Json::array();
  for (const scaling::OptimumEstimate& o : answer.optima) optima.push_back(OptimumJson(o));
  Json out{{"law", std::string(fit.law->name())},
           {"formula", std::string(fit.law->formula())},
           {"trusted", fit.trusted()},
           {"refusals", refusals},
           {"objective", fit.objective_sum},
           {"objective_kind", fit.objective.Describe()},
           {"points", fit.points},
           {"dropped", record.dropped.size()},
           {"dropped_rows", DroppedJson(record.dropped)},
           {"parameters", ParametersJson(fit)},
           {"standard_errors", errors},
           {"intervals", intervals},
           {"optimal", optima}};
  if (answer.growth) {
    out["growth"] = {{"value", answer.growth->value},
                     {"standard_error", answer.growth->standard_error},
                     {"intervals", IntervalsJson(answer.growth->intervals)}};
  }
  if (fit.scale > 0) out["scale"] = fit.scale;
  out["residual_sd"] = fit.residual_sd;
  out["condition"] = fit.identifiability.condition;
  out["starts"] = {{"begun", fit.starts}, {"reached_best", fit.starts_best}};
  out["resamples"] = record.bootstrap.parameters.size();
  if (!answer.sensitivity.empty()) out["sensitivity"] = SensitivityJson(answer.sensitivity);
  out["read_as"] = answer.read_as;
  out["data"] = {{"file", record.source.file},
                 {"hash", record.source.hash},
                 {"rows", record.source.rows},
                 {"other_rows", record.source.other_rows}};
  out["warnings"] = warnings;
  out["seconds"] = answer.seconds;
  out["bootstrap_seconds"] = answer.bootstrap_seconds;
  return out;
}

std::string FitText(const FitAnswer& answer) {
  const Fit& fit = answer.record.fit;
  std::string out = Head(answer);
  if (!fit.trusted()) return absl::StrCat(out, Sensitivity(answer));
  absl::StrAppend(&out, "\n", Parameters(answer), Optima(answer), Sensitivity(answer));
  absl::StrAppendFormat(&out,
                        "\nresiduals ± %.2f %%; %d of %d starts reached this optimum; %.3f s to "
                        "fit, %.2f s for %d resamples\n",
                        100 * fit.residual_sd, fit.starts_best, fit.starts, answer.seconds,
                        answer.bootstrap_seconds, answer.record.bootstrap.parameters.size());
  return out;
}

}  // namespace longrun::cli
