#include "base/time.h"

#include <ctime>

#include "absl/strings/str_format.h"

namespace longrun {

std::string FormatTime(Time t) {
  const std::time_t seconds = static_cast<std::time_t>(t.us / 1'000'000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                         parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                         t.us / 1000 % 1000);
}

std::string FormatDuration(Duration d) {
  if (d.us < 0) return "-" + FormatDuration({-d.us});
  const double s = d.seconds();
  if (d.us < 1000) return absl::StrFormat("%d µs", d.us);
  if (s < 0.9995) return absl::StrFormat("%.0f ms", s * 1e3);
  if (s < 59.95) return absl::StrFormat("%.1f s", s);
  const int64_t whole = (d.us + 500'000) / 1'000'000;
  if (whole < 3600) return absl::StrFormat("%d min %02d s", whole / 60, whole % 60);
  if (whole < 48 * 3600) return absl::StrFormat("%d h %02d min", whole / 3600, whole / 60 % 60);
  return absl::StrFormat("%d d %02d h", whole / 86400, whole / 3600 % 24);
}

Time WallClock::Now() {
  const int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
  if (us > last_.us) last_.us = us;
  return last_;
}

}  // namespace longrun
