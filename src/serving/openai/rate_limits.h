// What each tenant may still ask this minute. Any thread.
//
// A request is charged its prompt and all tokens it may generate when it is let in, and given back
// what it did not use when it is over: so that many requests at once cannot outrun the limit.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "base/time.h"
#include "net/http_server.h"
#include "serving/openai/api_error.h"
#include "serving/openai/tenants.h"
#include "serving/openai/token_bucket.h"

namespace longrun::serving {

class RateLimits {
 public:
  RateLimits(const std::vector<Tenant>& tenants, Time now);

  struct Admission {
    std::optional<ApiError> refused;  // 429
    double charged_tokens = 0;
    net::Headers headers;  // x-ratelimit-…, for tenants that have limits
  };
  Admission Admit(size_t tenant, int64_t prompt_tokens, int64_t generated_tokens, Time now);
  void Settle(size_t tenant, double charged_tokens, int64_t used_tokens, Time now);
  int64_t refused_total() const;

 private:
  struct Buckets {
    std::optional<TokenBucket> requests, tokens;
  };
  static net::Headers HeadersOf(const Buckets& buckets, Time now);

  mutable std::mutex mutex_;
  std::vector<Buckets> buckets_;  // by tenant
  int64_t refused_ = 0;
};

}  // namespace longrun::serving
