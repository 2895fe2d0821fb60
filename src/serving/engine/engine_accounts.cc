#include "serving/engine/engine_accounts.h"

namespace longrun::serving {
namespace {

constexpr size_t kMostTenants = 64;  // named; the rest is one

std::vector<double> Doubling(double first, int count) {
  std::vector<double> bounds;
  for (int i = 0; i < count; ++i, first *= 2) bounds.push_back(first);
  return bounds;
}

}  // namespace

EngineAccounts::EngineAccounts(const ModelShape& shape, KvType kv_type)
    : shape_(shape), kv_type_(kv_type) {
  // The bounds of vLLM, so that its dashboards read them, and smaller ones: of what takes a tenth
  // of the first bound, the first bucket tells nothing.
  const std::vector<double> requests = {0.001, 0.002, 0.005, 0.01,   0.02,  0.05, 0.1,  0.2,
                                        0.3,   0.5,   0.8,   1.0,    1.5,   2.0,  2.5,  5.0,
                                        10.0,  15.0,  20.0,  30.0,   40.0,  50.0, 60.0, 120.0,
                                        240.0, 480.0, 960.0, 1920.0, 7680.0};
  stats_.time_to_first_token.bounds = {0.001, 0.005, 0.01, 0.02,  0.04,  0.06,  0.08, 0.1,
                                       0.25,  0.5,   0.75, 1.0,   2.5,   5.0,   7.5,  10.0,
                                       20.0,  40.0,  80.0, 160.0, 640.0, 2560.0};
  stats_.inter_token.bounds = {0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.01, 0.025, 0.05,
                               0.075, 0.1,   0.15,  0.2,   0.3,   0.4,   0.5,  0.75,  1.0,
                               2.5,   5.0,   7.5,   10.0,  20.0,  40.0,  80.0};
  stats_.iteration_tokens.bounds = Doubling(1, 15);
  for (Histogram* h :
       {&stats_.end_to_end, &stats_.queue_time, &stats_.prefill_time, &stats_.decode_time}) {
    h->bounds = requests;
  }
  for (Histogram* h : {&stats_.prompt_length, &stats_.answer_length}) {
    h->bounds = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
  }
  for (Histogram* h : {&stats_.time_to_first_token, &stats_.inter_token, &stats_.iteration_tokens,
                       &stats_.end_to_end, &stats_.queue_time, &stats_.prefill_time,
                       &stats_.decode_time, &stats_.prompt_length, &stats_.answer_length}) {
    h->counts.assign(h->bounds.size() + 1, 0);
  }
}

TenantStats& EngineAccounts::Of(const std::string& tenant) {
  const auto found = tenants_.find(tenant);
  if (found != tenants_.end()) return stats_.tenants[found->second];
  if (stats_.tenants.size() > kMostTenants) return stats_.tenants.back();
  const bool full = stats_.tenants.size() == kMostTenants;
  stats_.tenants.push_back({.tenant = full ? "other" : tenant});
  if (!full) tenants_.emplace(tenant, stats_.tenants.size() - 1);
  return stats_.tenants.back();
}

void EngineAccounts::Arrived(const Progress& request) {
  const int64_t prompt = static_cast<int64_t>(request.request().prompt.size());
  ++stats_.requests_total;
  stats_.prompt_tokens_total += prompt;
  TenantStats& tenant = Of(request.request().tenant);
  ++tenant.requests;
  ++tenant.waiting;
  tenant.prompt_tokens += prompt;
}

void EngineAccounts::Admitted(Progress* request, int64_t cached_tokens, Time now) {
  request->admitted = true;
  request->started = now;
  request->usage.cached_tokens = cached_tokens;
  stats_.queue_time.Add((now - request->submission.arrived).seconds());
  TenantStats& tenant = Of(request->request().tenant);
  --tenant.waiting;
  ++tenant.running;
  tenant.cached_tokens += cached_tokens;
}

void EngineAccounts::Generated(Progress* request, Sequence* sequence, int64_t tokens, Time now) {
  if (tokens == 0) return;
  request->usage.completion_tokens += tokens;
  stats_.generation_tokens_total += tokens;
  Of(request->request().tenant).generated_tokens += tokens;
  if (request->first_token.never()) {
    request->first_token = now;
    stats_.time_to_first_token.Add((now - request->submission.arrived).seconds());
    stats_.prefill_time.Add((now - request->started).seconds());
  }
  if (!sequence->last_token.never()) {
    const double each = (now - sequence->last_token).seconds() / static_cast<double>(tokens);
    for (int64_t i = 0; i < tokens; ++i) stats_.inter_token.Add(each);
  }
  sequence->last_token = now;
}

void EngineAccounts::Ended(const Progress& request, FinishReason reason, Time now) {
  TenantStats& tenant = Of(request.request().tenant);
  --(request.admitted ? tenant.running : tenant.waiting);
  switch (reason) {
    case FinishReason::kStop:
      ++stats_.finished_stop_total;
      break;
    case FinishReason::kLength:
      ++stats_.finished_length_total;
      break;
    case FinishReason::kCancelled:
      ++stats_.cancelled_total;
      break;
    case FinishReason::kError:
    case FinishReason::kNone:
      ++stats_.failed_total;
      break;
  }
  stats_.end_to_end.Add((now - request.submission.arrived).seconds());
  stats_.prompt_length.Add(static_cast<double>(request.request().prompt.size()));
  stats_.answer_length.Add(static_cast<double>(request.usage.completion_tokens));
  if (!request.first_token.never()) {
    stats_.decode_time.Add((now - request.first_token).seconds());
  }
}

void EngineAccounts::Step(const StepInput& input, double seconds, int64_t prompt_tokens) {
  double tokens = 0, context = 0;
  for (const Slice& slice : input.slices) {
    const double n = static_cast<double>(slice.tokens.size());
    tokens += n;
    context += static_cast<double>(slice.position) + n;
    stats_.flops_total += shape_.Flops(slice);
  }
  const double kv_bytes = static_cast<double>(shape_.KvBytesPerToken(kv_type_));
  ++stats_.steps_total;
  stats_.step_seconds_total += seconds;
  stats_.prefill_tokens_computed_total += prompt_tokens;
  stats_.iteration_tokens.Add(tokens);
  stats_.bytes_read_total += static_cast<double>(shape_.weight_bytes_per_step) + context * kv_bytes;
  stats_.bytes_written_total += tokens * kv_bytes;
}

}  // namespace longrun::serving
