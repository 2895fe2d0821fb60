#include "cli/serving/bench_report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/units.h"
#include "nlohmann/json.hpp"

namespace longrun::cli {
namespace {

using Json = nlohmann::ordered_json;

double At(const std::vector<double>& sorted, double quantile) {
  const double place = quantile * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::string Row(const char* name, const Quantiles& q) {
  return absl::StrFormat("%-22s %9.1f %9.1f %9.1f %9.1f %9.1f\n", name, 1e3 * q.mean, 1e3 * q.p50,
                         1e3 * q.p90, 1e3 * q.p99, 1e3 * q.most);
}

Json ToJson(const Quantiles& q) {
  return {{"mean", q.mean}, {"p50", q.p50}, {"p90", q.p90}, {"p99", q.p99}, {"max", q.most}};
}

}  // namespace

Quantiles QuantilesOf(std::vector<double> values) {
  Quantiles q;
  if (values.empty()) return q;
  std::sort(values.begin(), values.end());
  for (const double value : values) q.mean += value / static_cast<double>(values.size());
  q.p50 = At(values, 0.5);
  q.p90 = At(values, 0.9);
  q.p99 = At(values, 0.99);
  q.most = values.back();
  return q;
}

LoadReport ReportOf(const std::vector<RequestOutcome>& outcomes, double seconds, const Slo& slo) {
  LoadReport report;
  report.seconds = seconds;
  report.slo = slo;
  std::vector<double> ttft, itl, gaps, e2e;
  for (const RequestOutcome& outcome : outcomes) {
    if (!outcome.error.empty()) {
      ++report.failed;
      ++report.errors[outcome.error];
      report.an_example.emplace(outcome.error, outcome.detail);
      continue;
    }
    ++report.requests;
    report.input_tokens += outcome.prompt_tokens;
    report.output_tokens += outcome.output_tokens;
    report.counted_by_server = report.counted_by_server && outcome.counted_by_server;
    ttft.push_back(outcome.ttft());
    e2e.push_back(outcome.e2e());
    if (outcome.output_tokens > 1) itl.push_back(outcome.mean_itl());
    gaps.insert(gaps.end(), outcome.gaps.begin(), outcome.gaps.end());
    report.good += outcome.ttft() <= slo.ttft_seconds && outcome.mean_itl() <= slo.itl_seconds &&
                   outcome.e2e() <= slo.e2e_seconds;
  }
  report.ttft = QuantilesOf(std::move(ttft));
  report.itl = QuantilesOf(std::move(itl));
  report.chunk_gap = QuantilesOf(std::move(gaps));
  report.e2e = QuantilesOf(std::move(e2e));
  return report;
}

std::string ReportText(const LoadReport& r) {
  std::string text = absl::StrFormat("%s requests in %.2f s", FormatCount(r.requests), r.seconds);
  if (r.failed > 0) absl::StrAppend(&text, ", ", FormatCount(r.failed), " failed");
  absl::StrAppendFormat(&text, "\n%-22s %9.2f requests/s\n", "throughput",
                        r.per_second(static_cast<double>(r.requests)));
  absl::StrAppendFormat(&text, "%-22s %9.1f tokens/s  (%s in all)\n", "  input",
                        r.per_second(static_cast<double>(r.input_tokens)),
                        FormatCount(r.input_tokens));
  absl::StrAppendFormat(&text, "%-22s %9.1f tokens/s  (%s in all)\n", "  output",
                        r.per_second(static_cast<double>(r.output_tokens)),
                        FormatCount(r.output_tokens));
  if (!r.counted_by_server && r.requests > 0) {
    text += "the server told no usage: chunks were counted for tokens, input is unknown\n";
  }
  if (r.requests > 0) {
    absl::StrAppendFormat(&text, "\n%-22s %9s %9s %9s %9s %9s\n", "milliseconds", "mean", "p50",
                          "p90", "p99", "max");
    text += Row("time to first token", r.ttft) + Row("inter-token", r.itl) +
            Row("between chunks", r.chunk_gap) + Row("end to end", r.e2e);
  }
  if (r.slo.any()) {
    const int64_t all = r.requests + r.failed;
    absl::StrAppendFormat(
        &text, "\n%-22s %9.2f requests/s within the SLO  (%.1f%% of all)\n", "goodput",
        r.per_second(static_cast<double>(r.good)),
        all > 0 ? 100.0 * static_cast<double>(r.good) / static_cast<double>(all) : 0.0);
  }
  for (const auto& [kind, count] : r.errors) {
    absl::StrAppend(&text, "\n", FormatCount(count), " failed: ", kind);
    const std::string& said = r.an_example.at(kind);
    if (!said.empty()) absl::StrAppend(&text, ": ", said);
    text += "\n";
  }
  return text;
}

std::string ReportJson(const LoadReport& r) {
  Json json = {{"requests", r.requests},
               {"failed", r.failed},
               {"seconds", r.seconds},
               {"requests_per_second", r.per_second(static_cast<double>(r.requests))},
               {"input_tokens", r.input_tokens},
               {"output_tokens", r.output_tokens},
               {"input_tokens_per_second", r.per_second(static_cast<double>(r.input_tokens))},
               {"output_tokens_per_second", r.per_second(static_cast<double>(r.output_tokens))},
               {"tokens_counted_by", r.counted_by_server ? "usage" : "chunks"},
               {"ttft_seconds", ToJson(r.ttft)},
               {"inter_token_seconds", ToJson(r.itl)},
               {"between_chunks_seconds", ToJson(r.chunk_gap)},
               {"e2e_seconds", ToJson(r.e2e)},
               {"errors", r.errors},
               {"error_examples", r.an_example}};
  if (r.slo.any()) {
    json["goodput_requests_per_second"] = r.per_second(static_cast<double>(r.good));
    json["within_slo"] = r.good;
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace longrun::cli
