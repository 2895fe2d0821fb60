// A page of metrics in Prometheus's text format (0.0.4), read. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace longrun::cli {

struct MetricSample {
  std::map<std::string, std::string> labels;
  double value = 0;
};

class MetricsPage {
 public:
  // An error names the line that is malformed.
  static absl::StatusOr<MetricsPage> Parse(std::string_view text);

  bool Has(const std::string& name) const { return samples_.count(name) > 0; }
  const std::vector<MetricSample>& Samples(const std::string& name) const;
  // Over all label sets (engines of one server); 0 where there is none.
  double Sum(const std::string& name) const;
  double Mean(const std::string& name) const;

 private:
  std::map<std::string, std::vector<MetricSample>> samples_;
};

// Of what a histogram counted between two pages (`before` may be null: since its begin): the
// quantile, linear within its bucket as Prometheus's histogram_quantile does it. Negative: nothing
// was counted.
double HistogramQuantile(const MetricsPage* before, const MetricsPage& after,
                         const std::string& name, double quantile);

}  // namespace longrun::cli
