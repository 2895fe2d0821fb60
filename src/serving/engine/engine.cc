#include "serving/engine/engine.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "base/check.h"
#include "serving/engine/retry_after.h"

namespace longrun::serving {
namespace {

constexpr char kRetryAfter[] = "longrun.dev/retry-after-seconds";

}  // namespace

void Histogram::Add(double value) {
  if (counts.empty()) counts.resize(bounds.size() + 1);
  const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin();
  ++counts[static_cast<size_t>(bucket)];
  sum += value;
}

int64_t Histogram::count() const {
  int64_t all = 0;
  for (const int64_t n : counts) all += n;
  return all;
}

absl::Status RetryAfter(absl::Status status, double seconds) {
  status.SetPayload(kRetryAfter, absl::Cord(std::to_string(seconds)));
  return status;
}

double RetryAfterSeconds(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryAfter);
  double seconds = 1;
  if (!payload || !absl::SimpleAtod(std::string(*payload), &seconds)) return 1;
  return seconds;
}

}  // namespace longrun::serving
