#include "serving/openai/rate_limits.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace longrun::serving {
namespace {

ApiError TooMany(std::string_view what, double limit, double wait_seconds) {
  return {.status = 429,
          .message = absl::StrFormat("Rate limit reached for %s per minute: limit %.0f. Please try "
                                     "again in %.3f s.",
                                     std::string(what), limit, wait_seconds),
          .type = std::string(what),
          .code = "rate_limit_exceeded",
          .retry_after_seconds = wait_seconds};
}

}  // namespace

RateLimits::RateLimits(const std::vector<Tenant>& tenants, Time now) {
  for (const Tenant& tenant : tenants) {
    Buckets buckets;
    if (tenant.requests_per_minute) buckets.requests.emplace(*tenant.requests_per_minute, now);
    if (tenant.tokens_per_minute) buckets.tokens.emplace(*tenant.tokens_per_minute, now);
    buckets_.push_back(std::move(buckets));
  }
}

RateLimits::Admission RateLimits::Admit(size_t tenant, int64_t prompt_tokens,
                                        int64_t generated_tokens, Time now) {
  const std::lock_guard lock(mutex_);
  Buckets& buckets = buckets_[tenant];
  Admission admission;
  double wait = 0;
  if (buckets.requests) {
    // A limit under one a minute still lets one through at a time.
    const double one = std::min(1.0, buckets.requests->capacity());
    wait = buckets.requests->WaitSeconds(one, now);
    if (wait > 0) admission.refused = TooMany("requests", buckets.requests->capacity(), wait);
  }
  if (buckets.tokens && !admission.refused) {
    const double capacity = buckets.tokens->capacity();
    if (static_cast<double>(prompt_tokens) > capacity) {
      admission.refused = TooMany("tokens", capacity, 60);
      admission.refused->message =
          absl::StrFormat("Request too large for tokens per minute: limit %.0f, requested %d.",
                          capacity, prompt_tokens);
      admission.refused->should_retry = false;
    } else {
      const double cost = std::min(
          capacity, static_cast<double>(prompt_tokens) + static_cast<double>(generated_tokens));
      wait = buckets.tokens->WaitSeconds(cost, now);
      if (wait > 0) {
        admission.refused = TooMany("tokens", capacity, wait);
      } else {
        admission.charged_tokens = cost;
      }
    }
  }
  if (admission.refused) {
    ++refused_;
  } else {
    if (buckets.requests) buckets.requests->Take(std::min(1.0, buckets.requests->capacity()), now);
    if (buckets.tokens) buckets.tokens->Take(admission.charged_tokens, now);
  }
  admission.headers = HeadersOf(buckets, now);
  return admission;
}

void RateLimits::Settle(size_t tenant, double charged_tokens, int64_t used_tokens, Time now) {
  const std::lock_guard lock(mutex_);
  if (buckets_[tenant].tokens)
    buckets_[tenant].tokens->Take(static_cast<double>(used_tokens) - charged_tokens, now);
}

int64_t RateLimits::refused_total() const {
  const std::lock_guard lock(mutex_);
  return refused_;
}

net::Headers RateLimits::HeadersOf(const Buckets& buckets, Time now) {
  net::Headers headers;
  const auto add = [&](const std::optional<TokenBucket>& bucket, const std::string& what) {
    if (!bucket) return;
    const auto whole = [](double n) {
      return absl::StrCat(static_cast<int64_t>(std::max(0.0, std::floor(n))));
    };
    headers.emplace_back("x-ratelimit-limit-" + what, whole(bucket->capacity()));
    headers.emplace_back("x-ratelimit-remaining-" + what, whole(bucket->Level(now)));
    headers.emplace_back("x-ratelimit-reset-" + what,
                         absl::StrFormat("%.3fs", bucket->WaitSeconds(bucket->capacity(), now)));
  };
  add(buckets.requests, "requests");
  add(buckets.tokens, "tokens");
  return headers;
}

}  // namespace longrun::serving
