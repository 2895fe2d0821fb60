#include "cli/serving/serving_figures.h"

#include <algorithm>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"

namespace longrun::cli {
namespace {

constexpr double kStepsOfQueue = 3;
// Above it a resource is called the one that binds.
constexpr double kNearCeiling = 0.5;
constexpr double kCacheFull = 0.9;
constexpr double kMuchOverhead = 0.3;
constexpr double kStalledSeconds = 5;

class Between {
 public:
  Between(const MetricsPage* before, const MetricsPage& after, double seconds)
      : before_(before), after_(after), seconds_(seconds) {}
  // How much a counter grew; a server begun anew counts from 0.
  double Grown(const std::string& name) const {
    if (before_ == nullptr) return 0;
    const double now = after_.Sum(name);
    const double then = before_->Sum(name);
    return now >= then ? now - then : now;
  }
  double Rate(const std::string& name) const { return seconds_ > 0 ? Grown(name) / seconds_ : 0; }
  double Gauge(const std::string& name) const { return after_.Has(name) ? after_.Mean(name) : -1; }

 private:
  const MetricsPage* before_;
  const MetricsPage& after_;
  double seconds_;
};

double KvTokens(const MetricsPage& page) {
  double tokens = -1;
  for (const MetricSample& sample : page.Samples("vllm:cache_config_info")) {
    double size = 0, count = 0;
    const auto block = sample.labels.find("block_size");
    const auto blocks = sample.labels.find("num_gpu_blocks");
    if (block == sample.labels.end() || blocks == sample.labels.end()) continue;
    if (!absl::SimpleAtod(block->second, &size) || !absl::SimpleAtod(blocks->second, &count)) {
      continue;
    }
    tokens = std::max(tokens, 0.0) + size * count;
  }
  return tokens;
}

std::string ModelOf(const MetricsPage& page) {
  for (const MetricSample& sample : page.Samples("vllm:num_requests_running")) {
    const auto it = sample.labels.find("model_name");
    if (it != sample.labels.end()) return it->second;
  }
  return "";
}

std::vector<TenantFigures> Tenants(const MetricsPage* before, const MetricsPage& after,
                                   double seconds) {
  std::map<std::string, TenantFigures> tenants;
  const auto visit = [&](const MetricsPage& page, const std::string& name, auto use) {
    for (const MetricSample& sample : page.Samples(name)) {
      const auto it = sample.labels.find("tenant");
      if (it != sample.labels.end()) use(tenants[it->second], sample.value);
    }
  };
  visit(after, "longrun:tenant_requests_running", [](auto& t, double v) { t.running += v; });
  visit(after, "longrun:tenant_requests_waiting", [](auto& t, double v) { t.waiting += v; });
  if (before != nullptr && seconds > 0) {
    const std::string name = "longrun:tenant_generation_tokens_total";
    visit(after, name, [&](auto& t, double v) { t.output_per_second += v / seconds; });
    visit(*before, name, [&](auto& t, double v) { t.output_per_second -= v / seconds; });
  }
  std::vector<TenantFigures> sorted;
  for (auto& [tenant, figures] : tenants) {
    figures.name = tenant;
    figures.output_per_second = std::max(0.0, figures.output_per_second);
    sorted.push_back(std::move(figures));
  }
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.output_per_second > b.output_per_second;
  });
  return sorted;
}

// Parts of the ceilings in the time between, from what was counted; else the server's own gauges.
void Roofline(const Between& between, const MetricsPage& after, bool has_before,
              ServingFigures& f) {
  f.balance = between.Gauge("longrun:machine_balance");
  f.mfu = between.Gauge("longrun:mfu");
  f.mbu = between.Gauge("longrun:mbu");
  f.intensity = between.Gauge("longrun:arithmetic_intensity");
  if (!has_before || !after.Has("vllm:estimated_flops_per_gpu_total")) return;
  const double flops = between.Rate("vllm:estimated_flops_per_gpu_total");
  const double bytes = between.Rate("vllm:estimated_read_bytes_per_gpu_total") +
                       between.Rate("vllm:estimated_write_bytes_per_gpu_total");
  f.intensity = bytes > 0 ? flops / bytes : 0;
  const double peak_flops = after.Sum("longrun:peak_flops");
  const double peak_bytes = after.Sum("longrun:peak_bytes_per_second");
  if (peak_flops > 0) f.mfu = flops / peak_flops;
  if (peak_bytes > 0) f.mbu = bytes / peak_bytes;
}

std::string Percent(double part) { return absl::StrFormat("%.0f%%", 100 * part); }

}  // namespace

ServingFigures FiguresBetween(const MetricsPage* before, const MetricsPage& after, double seconds) {
  const Between between(before, after, seconds);
  ServingFigures f;
  f.model = ModelOf(after);
  f.seconds = seconds;
  f.running = after.Sum("vllm:num_requests_running");
  f.waiting = after.Sum("vllm:num_requests_waiting");
  f.kv_used = after.Mean(after.Has("vllm:kv_cache_usage_perc") ? "vllm:kv_cache_usage_perc"
                                                               : "vllm:gpu_cache_usage_perc");
  f.kv_tokens = KvTokens(after);
  f.input_per_second = between.Rate("vllm:prompt_tokens_total");
  f.output_per_second = between.Rate("vllm:generation_tokens_total");
  const double steps = between.Grown("vllm:iteration_tokens_total_count");
  if (steps > 0) {
    f.tokens_per_step = between.Grown("vllm:iteration_tokens_total_sum") / steps;
    f.steps_per_second = steps / seconds;
  }
  f.ttft_p50 = HistogramQuantile(before, after, "vllm:time_to_first_token_seconds", 0.5);
  f.ttft_p99 = HistogramQuantile(before, after, "vllm:time_to_first_token_seconds", 0.99);
  f.itl_p50 = HistogramQuantile(before, after, "vllm:inter_token_latency_seconds", 0.5);
  f.itl_p99 = HistogramQuantile(before, after, "vllm:inter_token_latency_seconds", 0.99);
  f.queue_p50 = HistogramQuantile(before, after, "vllm:request_queue_time_seconds", 0.5);
  const double looked_for = between.Grown("vllm:prefix_cache_queries_total");
  if (looked_for > 0) {
    f.prefix_hits = between.Grown("vllm:prefix_cache_hits_total") / looked_for;
  }
  f.preemptions = between.Grown("vllm:num_preemptions_total");
  f.rejections = between.Grown("longrun:requests_rejected_total");
  Roofline(between, after, before != nullptr, f);
  const double overhead = between.Grown("longrun:engine_overhead_seconds_total");
  const double busy = overhead + between.Grown("longrun:step_seconds_total");
  if (busy > 0) f.overhead = overhead / busy;
  f.predicted_wait = between.Gauge("longrun:predicted_wait_seconds");
  f.stalled = after.Sum("longrun:engine_stalled_seconds");
  f.tenants = Tenants(before, after, seconds);
  return f;
}

const char* BindingName(Binding binding) {
  switch (binding) {
    case Binding::kIdle:
      return "idle";
    case Binding::kStalled:
      return "stalled";
    case Binding::kMemoryCapacity:
      return "memory capacity";
    case Binding::kMemoryBandwidth:
      return "memory bandwidth";
    case Binding::kCompute:
      return "compute";
    case Binding::kQueue:
      return "queue";
    case Binding::kHost:
      return "host";
    case Binding::kNothing:
      return "nothing";
  }
  return "nothing";
}

namespace {

// Whoever comes waits for the step under way to end: that is no queue yet.
bool HasQueue(const ServingFigures& f) {
  if (f.waiting <= 0) return false;
  const bool told = f.queue_p50 >= 0 && f.steps_per_second > 0;
  return !told || f.queue_p50 * f.steps_per_second > kStepsOfQueue;
}

}  // namespace

Judgement Judge(const ServingFigures& f) {
  if (f.stalled >= kStalledSeconds) {
    return {Binding::kStalled,
            absl::StrFormat("there is work, and no step has ended for %.0f s", f.stalled),
            "look at the server's log; /health tells the same to its router"};
  }
  if (f.running + f.waiting <= 0 && f.output_per_second <= 0) {
    return {Binding::kIdle, "nobody asks", "send requests: longrun bench-serve makes some"};
  }
  const bool wants_more = f.waiting > 0 || f.preemptions > 0;
  if (f.preemptions > 0 || (f.kv_used >= kCacheFull && wants_more)) {
    return {Binding::kMemoryCapacity,
            absl::StrFormat("%s of the KV cache is in use, %.0f wait, %.0f were put back",
                            Percent(f.kv_used), f.waiting, f.preemptions),
            "more memory for KV, int8 KV, shorter answers, prompts that share their beginning, or "
            "another replica"};
  }
  if (f.overhead >= kMuchOverhead) {
    return {
        Binding::kHost,
        absl::StrFormat("%s of the engine's time goes beside the arithmetic", Percent(f.overhead)),
        "faster cores, simpler constraints and penalties, or longer batches"};
  }
  const bool measured = f.mfu >= 0 && f.mbu >= 0;
  if (measured && std::max(f.mfu, f.mbu) >= kNearCeiling) {
    const std::string against =
        f.balance > 0 ? absl::StrFormat(", %.0f FLOP a byte against a balance of %.0f", f.intensity,
                                        f.balance)
                      : "";
    if (f.mfu >= f.mbu) {
      return {Binding::kCompute,
              absl::StrFormat("MFU %s, MBU %s%s", Percent(f.mfu), Percent(f.mbu), against),
              "lower precision, prompts found in the prefix cache, a smaller model, or another "
              "replica; larger batches would only add latency"};
    }
    return {Binding::kMemoryBandwidth,
            absl::StrFormat("MBU %s, MFU %s%s", Percent(f.mbu), Percent(f.mfu), against),
            "more sequences at once cost next to nothing; else int8 weights, int8 KV or "
            "speculative decoding"};
  }
  if (HasQueue(f)) {
    return {Binding::kQueue,
            absl::StrFormat("%.0f wait while %.0f run and %s of the KV cache is in use", f.waiting,
                            f.running, Percent(f.kv_used)),
            "a larger token budget for a step or more sequences at once; else another replica"};
  }
  return {Binding::kNothing,
          measured
              ? absl::StrFormat("MFU %s, MBU %s, nobody waits long", Percent(f.mfu), Percent(f.mbu))
              : std::string("nobody waits long; the server tells no MFU and MBU"),
          "there is room for more requests"};
}

}  // namespace longrun::cli
