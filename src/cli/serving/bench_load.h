// The load that `longrun bench-serve` puts on a server: which requests, how long, when. Pure: the
// same flags and seed give the same load.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/status.h"

namespace longrun::cli {

// How many tokens: always as many, uniformly from a range, or log-normally around a median.
struct LengthDistribution {
  enum class Kind { kFixed, kUniform, kLognormal };
  Kind kind = Kind::kFixed;
  double a = 256;  // the number; the lowest; the median
  double b = 0;    // the highest; the standard deviation of the logarithm

  int64_t Sample(Random& random) const;  // 1 to 1,000,000
};
// "256", "uniform:64:512", "lognormal:256:0.8".
absl::StatusOr<LengthDistribution> ParseLengthDistribution(std::string_view text);

// What a request must keep to count as good; infinite: no matter.
struct Slo {
  double ttft_seconds;
  double itl_seconds;  // the request's mean
  double e2e_seconds;
  Slo();
  bool any() const;
};
// "ttft=0.5s,itl=50ms,e2e=10s", each at most once.
absl::StatusOr<Slo> ParseSlo(std::string_view text);

struct LoadConfig {
  std::string model;
  bool chat = false;
  int64_t vocabulary = 0;  // above 0: prompts are arrays of token ids below it
  LengthDistribution prompt_tokens;
  LengthDistribution output_tokens;
  int64_t shared_prefix_tokens = 0;  // before each prompt, from one of `prefixes`
  int64_t prefixes = 1;
  bool ignore_eos = true;
  std::optional<double> temperature;  // the server's own where it is not given
  uint64_t seed = 0;
};

// The JSON body of request `index` of the load; each is a function of (config, index).
std::string RequestBody(const LoadConfig& config, int64_t index);

// When requests 0 to n - 1 arrive, in seconds from the begin: a Poisson process of `rate` a second.
std::vector<double> PoissonArrivals(int64_t n, double rate, uint64_t seed);

}  // namespace longrun::cli
