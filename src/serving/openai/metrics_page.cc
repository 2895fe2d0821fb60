#include "serving/openai/metrics_page.h"

#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace longrun::serving {
namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

std::string Escaped(const std::string& value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\' || c == '"') out.push_back('\\');
    if (c == '\n') {
      out += "\\n";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Inf" : "+Inf";
  if (value == std::floor(value) && std::abs(value) < 9e15)
    return absl::StrCat(static_cast<int64_t>(value));
  char shortest[32];  // that reads back as the same number
  return {shortest, std::to_chars(shortest, shortest + sizeof shortest, value).ptr};
}

class Page {
 public:
  explicit Page(const std::string& model) : base_{{"model_name", model}} {}

  void Family(const std::string& name, const char* type, const char* help) {
    absl::StrAppend(&text_, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
  }
  void Sample(const std::string& name, double value, const Labels& labels = {}) {
    absl::StrAppend(&text_, name, "{");
    const char* comma = "";
    for (const Labels* some : {&base_, &labels}) {
      for (const auto& [key, of] : *some) {
        absl::StrAppend(&text_, comma, key, "=\"", Escaped(of), "\"");
        comma = ",";
      }
    }
    absl::StrAppend(&text_, "} ", Number(value), "\n");
  }
  void Gauge(const std::string& name, double value, const char* help) {
    Family(name, "gauge", help);
    Sample(name, value);
  }
  void Counter(const std::string& name, double value, const char* help) {
    Family(name, "counter", help);
    Sample(name, value);
  }
  void Distribution(const std::string& name, const Histogram& histogram, const char* help) {
    Family(name, "histogram", help);
    int64_t below = 0;
    for (size_t i = 0; i < histogram.bounds.size(); ++i) {
      below += i < histogram.counts.size() ? histogram.counts[i] : 0;
      Sample(name + "_bucket", static_cast<double>(below), {{"le", Number(histogram.bounds[i])}});
    }
    if (histogram.counts.size() > histogram.bounds.size()) below += histogram.counts.back();
    Sample(name + "_bucket", static_cast<double>(below), {{"le", "+Inf"}});
    Sample(name + "_sum", histogram.sum);
    Sample(name + "_count", static_cast<double>(below));
  }
  std::string Take() { return std::move(text_); }

 private:
  const Labels base_;
  std::string text_;
};

double Real(int64_t n) { return static_cast<double>(n); }

void Load(const EngineStats& stats, Page* page) {
  page->Gauge("vllm:num_requests_running", Real(stats.running), "Sequences that hold KV blocks.");
  page->Gauge("vllm:num_requests_waiting", Real(stats.waiting), "Requests in the queue.");
  const double used = stats.blocks > 0 ? Real(stats.blocks_used) / Real(stats.blocks) : 0;
  page->Gauge("vllm:kv_cache_usage_perc", used, "Part of the KV blocks in use, 0 to 1.");
  page->Gauge("vllm:gpu_cache_usage_perc", used, "The same by its older name.");
  page->Family("vllm:cache_config_info", "gauge", "The shape of the KV cache.");
  page->Sample("vllm:cache_config_info", 1,
               {{"block_size", absl::StrCat(stats.block_tokens)},
                {"num_gpu_blocks", absl::StrCat(stats.blocks)}});
  page->Gauge("longrun:kv_blocks_cached", Real(stats.blocks_cached),
              "KV blocks that hold prefixes nobody uses now.");
  page->Gauge("longrun:predicted_wait_seconds", stats.predicted_wait_seconds,
              "Until a request that came now would have its first token.");
  page->Gauge("longrun:engine_stalled_seconds", stats.stalled_seconds,
              "Since the engine last made progress while it had work.");
}

void Totals(const EngineStats& stats, int64_t rate_limited, Page* page) {
  page->Counter("vllm:prompt_tokens_total", Real(stats.prompt_tokens_total), "Prompt tokens.");
  page->Counter("vllm:generation_tokens_total", Real(stats.generation_tokens_total),
                "Generated tokens.");
  page->Counter("longrun:prefill_tokens_computed_total", Real(stats.prefill_tokens_computed_total),
                "Prompt tokens that were computed, not found in the cache.");
  page->Counter("vllm:prefix_cache_queries_total", Real(stats.prefix_queries_total),
                "Tokens looked for in the prefix cache.");
  page->Counter("vllm:prefix_cache_hits_total", Real(stats.prefix_hits_total),
                "Tokens found in the prefix cache.");
  page->Counter("vllm:num_preemptions_total", Real(stats.preemptions_total),
                "Sequences put back for want of KV blocks.");
  page->Family("vllm:request_success_total", "counter", "Requests that ended, by how.");
  for (const auto& [reason, count] : {std::pair("stop", stats.finished_stop_total),
                                      std::pair("length", stats.finished_length_total),
                                      std::pair("abort", stats.cancelled_total)}) {
    page->Sample("vllm:request_success_total", Real(count), {{"finished_reason", reason}});
  }
  page->Counter("longrun:requests_total", Real(stats.requests_total), "Requests taken.");
  page->Counter("longrun:requests_failed_total", Real(stats.failed_total),
                "Requests that ended with an error.");
  page->Family("longrun:requests_rejected_total", "counter", "Requests refused, by why.");
  page->Sample("longrun:requests_rejected_total", Real(stats.rejected_total),
               {{"reason", "queue_full"}});
  page->Sample("longrun:requests_rejected_total", Real(rate_limited), {{"reason", "rate_limit"}});
  page->Counter("longrun:spec_decode_draft_tokens_total", Real(stats.draft_tokens_total),
                "Tokens proposed by prompt lookup.");
  page->Counter("longrun:spec_decode_accepted_tokens_total", Real(stats.draft_accepted_total),
                "Proposed tokens that were right.");
}

void Times(const EngineStats& stats, Page* page) {
  page->Distribution("vllm:iteration_tokens_total", stats.iteration_tokens, "Tokens of a step.");
  page->Distribution("vllm:time_to_first_token_seconds", stats.time_to_first_token,
                     "From arrival to the first token.");
  page->Distribution("vllm:inter_token_latency_seconds", stats.inter_token, "Between two tokens.");
  page->Distribution("vllm:time_per_output_token_seconds", stats.inter_token,
                     "The same by its older name.");
  page->Distribution("vllm:e2e_request_latency_seconds", stats.end_to_end,
                     "From arrival to the end.");
  page->Distribution("vllm:request_queue_time_seconds", stats.queue_time, "In the queue.");
  page->Distribution("vllm:request_prefill_time_seconds", stats.prefill_time,
                     "From the queue to the first token.");
  page->Distribution("vllm:request_decode_time_seconds", stats.decode_time,
                     "From the first token to the last.");
  page->Distribution("vllm:request_prompt_tokens", stats.prompt_length,
                     "Prompt tokens of requests that ended.");
  page->Distribution("vllm:request_generation_tokens", stats.answer_length,
                     "Generated tokens of requests that ended.");
  page->Counter("longrun:steps_total", Real(stats.steps_total), "Steps.");
  page->Counter("longrun:step_seconds_total", stats.step_seconds_total,
                "Time in the model's arithmetic.");
  page->Counter("longrun:engine_overhead_seconds_total", stats.overhead_seconds_total,
                "Time of the engine's thread beside it.");
}

void Machine(const MetricsInput& input, Page* page) {
  page->Counter("vllm:estimated_flops_per_gpu_total", input.stats.flops_total,
                "Floating point operations, counted from the model's shape.");
  page->Counter("vllm:estimated_read_bytes_per_gpu_total", input.stats.bytes_read_total,
                "Bytes read, counted from the model's shape.");
  page->Counter("vllm:estimated_write_bytes_per_gpu_total", input.stats.bytes_written_total,
                "Bytes written, counted from the model's shape.");
  page->Gauge("longrun:peak_flops", input.peak.flops, "Measured at start, a second.");
  page->Gauge("longrun:peak_bytes_per_second", input.peak.bytes_per_second, "Measured at start.");
  page->Gauge("longrun:machine_balance",
              input.peak.bytes_per_second > 0 ? input.peak.flops / input.peak.bytes_per_second : 0,
              "FLOP a byte at which compute and bandwidth bind alike.");
  page->Gauge("longrun:arithmetic_intensity", input.utilisation.intensity,
              "FLOP a byte over the last seconds.");
  page->Gauge("longrun:mfu", input.utilisation.mfu, "Part of the peak FLOP/s, the last seconds.");
  page->Gauge("longrun:mbu", input.utilisation.mbu,
              "Part of the peak bandwidth, the last seconds.");
  page->Gauge("longrun:http_connections", Real(input.http_connections), "Open connections.");
}

void Tenants(const EngineStats& stats, Page* page) {
  const auto family = [&](const std::string& name, const char* type, const char* help,
                          int64_t TenantStats::*field) {
    page->Family(name, type, help);
    for (const TenantStats& tenant : stats.tenants)
      page->Sample(name, Real(tenant.*field), {{"tenant", tenant.tenant}});
  };
  family("longrun:tenant_requests_total", "counter", "Requests.", &TenantStats::requests);
  family("longrun:tenant_prompt_tokens_total", "counter", "Prompt tokens.",
         &TenantStats::prompt_tokens);
  family("longrun:tenant_cached_tokens_total", "counter", "Prompt tokens found in the cache.",
         &TenantStats::cached_tokens);
  family("longrun:tenant_generation_tokens_total", "counter", "Generated tokens.",
         &TenantStats::generated_tokens);
  family("longrun:tenant_requests_running", "gauge", "Sequences that hold KV blocks.",
         &TenantStats::running);
  family("longrun:tenant_requests_waiting", "gauge", "Requests in the queue.",
         &TenantStats::waiting);
}

}  // namespace

Utilisation UtilisationBetween(const EngineStats& before, const EngineStats& after, double seconds,
                               const PeakRates& peak) {
  Utilisation made;
  const double flops = after.flops_total - before.flops_total;
  const double bytes = after.bytes_read_total + after.bytes_written_total -
                       before.bytes_read_total - before.bytes_written_total;
  if (seconds <= 0) return made;
  if (peak.flops > 0) made.mfu = flops / seconds / peak.flops;
  if (peak.bytes_per_second > 0) made.mbu = bytes / seconds / peak.bytes_per_second;
  if (bytes > 0) made.intensity = flops / bytes;
  return made;
}

std::string MetricsPage(const MetricsInput& input) {
  Page page(input.model);
  Load(input.stats, &page);
  Totals(input.stats, input.rate_limited_total, &page);
  Times(input.stats, &page);
  Machine(input, &page);
  Tenants(input.stats, &page);
  return page.Take();
}

}  // namespace longrun::serving
