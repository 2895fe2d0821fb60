// Quantities as people write them: "2Gi", "500m", "90s", "2h30m".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"

namespace longrun {

// Kubernetes quantity of bytes: "1024", "64Ki", "2Gi", "1.5G"; at least 0.
absl::StatusOr<int64_t> ParseBytes(std::string_view text);
// Kubernetes quantity of CPU in thousandths: "1" → 1000, "500m" → 500, "1.5" → 1500.
absl::StatusOr<int64_t> ParseMilliCpu(std::string_view text);
// "250ms", "90s", "5m", "2h", "1d", "2h30m"; at least 0. A bare number is refused: it has no unit.
absl::StatusOr<Duration> ParseDuration(std::string_view text);

// A count or amount with the suffixes people use for large ones: "70B", "1.4T", "5.76e23", "20k",
// "2M", "3G" (= 3B), "1P". Above 0 and finite; anything else is refused.
absl::StatusOr<double> ParseQuantity(std::string_view text);

// "405.8 B", "1.40 T", "950", "2.3e+25" beyond thousands of trillions: for people.
std::string FormatQuantity(double value);
// "36.0 MB", "1.5 GiB"-free: powers of ten, for people.
std::string FormatBytes(double bytes);
// "12,345", for people.
std::string FormatCount(int64_t n);

}  // namespace longrun
