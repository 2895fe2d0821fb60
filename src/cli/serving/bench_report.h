// What came of a load: figures of each request to figures of all. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cli/serving/bench_load.h"

namespace longrun::cli {

// One request. Times in seconds from the load's begin.
struct RequestOutcome {
  double planned = 0;  // when it should have begun: latencies count from here
  double first = 0;    // the first chunk with text
  double end = 0;
  std::vector<double> gaps;  // seconds between chunks with text
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  bool counted_by_server = false;  // the answer said its usage; else chunks were counted
  std::string error;               // its kind ("HTTP 429", "timed out"); empty: none
  std::string detail;              // of the error, as the server said it

  double ttft() const { return first - planned; }
  double e2e() const { return end - planned; }
  // Mean time to each token after the first.
  double mean_itl() const {
    return output_tokens > 1 ? (end - first) / static_cast<double>(output_tokens - 1) : 0;
  }
};

struct Quantiles {
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, most = 0;
};
// Linear between order statistics; zeros where there are no values.
Quantiles QuantilesOf(std::vector<double> values);

struct LoadReport {
  int64_t requests = 0;  // ended well
  int64_t failed = 0;
  double seconds = 0;
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  Quantiles ttft, itl, chunk_gap, e2e;  // seconds; itl: means of requests with 2 tokens or more
  Slo slo;
  int64_t good = 0;  // requests within the SLO
  bool counted_by_server = true;
  std::map<std::string, int64_t> errors;          // kind -> how many
  std::map<std::string, std::string> an_example;  // kind -> what one of them said

  double per_second(double n) const { return seconds > 0 ? n / seconds : 0; }
};

LoadReport ReportOf(const std::vector<RequestOutcome>& outcomes, double seconds, const Slo& slo);
std::string ReportText(const LoadReport& report);
std::string ReportJson(const LoadReport& report);  // one line, names that do not change

}  // namespace longrun::cli
