#include "base/units.h"

#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace longrun {
namespace {

// Splits "1.5Gi" into 1.5 and "Gi". The number has digits and at most one point, no sign, no
// exponent.
absl::StatusOr<std::pair<double, std::string_view>> SplitNumber(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && (std::isdigit(static_cast<unsigned char>(text[n])) || text[n] == '.')) {
    ++n;
  }
  double value = 0;
  if (n == 0 || n > 18 || !absl::SimpleAtod(std::string(text.substr(0, n)), &value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", std::string(text), "\" does not begin with a number"));
  }
  return std::pair{value, text.substr(n)};
}

absl::StatusOr<int64_t> Whole(double value, std::string_view text) {
  if (!(value < 9.2e18)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", std::string(text), "\" is too large"));
  }
  return static_cast<int64_t>(std::llround(value));
}

}  // namespace

absl::StatusOr<int64_t> ParseBytes(std::string_view text) {
  LR_ASSIGN_OR_RETURN(const auto parts, SplitNumber(text));
  static constexpr std::array<std::pair<std::string_view, double>, 11> kUnits{{{"", 1},
                                                                               {"k", 1e3},
                                                                               {"M", 1e6},
                                                                               {"G", 1e9},
                                                                               {"T", 1e12},
                                                                               {"P", 1e15},
                                                                               {"Ki", 0x1p10},
                                                                               {"Mi", 0x1p20},
                                                                               {"Gi", 0x1p30},
                                                                               {"Ti", 0x1p40},
                                                                               {"Pi", 0x1p50}}};
  for (const auto& [unit, factor] : kUnits) {
    if (parts.second == unit) return Whole(parts.first * factor, text);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", std::string(text), "\" has no unit of bytes; write for example 512Mi or 2Gi"));
}

absl::StatusOr<int64_t> ParseMilliCpu(std::string_view text) {
  LR_ASSIGN_OR_RETURN(const auto parts, SplitNumber(text));
  if (parts.second.empty()) return Whole(parts.first * 1000, text);
  if (parts.second == "m") return Whole(parts.first, text);
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text), "\" is no amount of CPU; write for example 2 or 500m"));
}

absl::StatusOr<Duration> ParseDuration(std::string_view text) {
  const std::string_view all = text;
  double us = 0;
  do {
    LR_ASSIGN_OR_RETURN(const auto parts, SplitNumber(text));
    text = parts.second;
    size_t n = 0;
    while (n < text.size() && std::isalpha(static_cast<unsigned char>(text[n]))) ++n;
    const std::string_view unit = text.substr(0, n);
    text.remove_prefix(n);
    double factor = 0;
    if (unit == "us") factor = 1;
    if (unit == "ms") factor = 1e3;
    if (unit == "s") factor = 1e6;
    if (unit == "m" || unit == "min") factor = 60e6;
    if (unit == "h") factor = 3600e6;
    if (unit == "d") factor = 86400e6;
    if (factor == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", std::string(all),
                       "\" is no duration; write for example 250ms, 90s, 5m, 2h or 2h30m"));
    }
    us += parts.first * factor;
  } while (!text.empty());
  LR_ASSIGN_OR_RETURN(const int64_t whole, Whole(us, all));
  return Duration{whole};
}

absl::StatusOr<double> ParseQuantity(std::string_view text) {
  static constexpr std::array<std::pair<char, double>, 7> kSuffixes{
      {{'k', 1e3}, {'K', 1e3}, {'M', 1e6}, {'G', 1e9}, {'B', 1e9}, {'T', 1e12}, {'P', 1e15}}};
  const std::string_view whole = text;
  double factor = 1, value = 0;
  for (const auto& [suffix, by] : kSuffixes) {
    if (text.empty() || text.back() != suffix) continue;
    factor = by;
    text.remove_suffix(1);
    break;
  }
  const bool begins = !text.empty() && (std::isdigit(static_cast<unsigned char>(text.front())) ||
                                        text.front() == '.' || text.front() == '-');
  if (!begins || text.size() > 40 || text.find_first_of("xX ") != text.npos ||
      !absl::SimpleAtod(std::string(text), &value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", std::string(whole.substr(0, 60)),
                     "\" is no amount; write for example 70B, 1.4T or 5.76e23"));
  }
  value *= factor;
  if (!(value > 0) || !std::isfinite(value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", std::string(whole), "\" is out of range; above 0 is right"));
  }
  return value;
}

std::string FormatQuantity(double value) {
  static constexpr std::array<std::pair<double, const char*>, 4> kSuffixes{
      {{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "k"}}};
  const double size = std::abs(value);
  if (!(size < 1e16)) return absl::StrFormat("%.3g", value);
  for (const auto& [unit, suffix] : kSuffixes) {
    if (size < unit * 0.99995) continue;
    const double shown = value / unit;
    return absl::StrFormat("%.*f %s", size >= 100 * unit ? 1 : 2, shown, suffix);
  }
  return absl::StrFormat("%.4g", value);
}

std::string FormatBytes(double bytes) {
  static constexpr std::array<const char*, 6> kNames{"B", "kB", "MB", "GB", "TB", "PB"};
  size_t i = 0;
  while (bytes >= 999.95 && i + 1 < kNames.size()) {
    bytes /= 1000;
    ++i;
  }
  return i == 0 ? absl::StrFormat("%.0f B", bytes) : absl::StrFormat("%.1f %s", bytes, kNames[i]);
}

std::string FormatCount(int64_t n) {
  std::string digits = absl::StrCat(n < 0 ? -n : n);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(i, ",");
  return n < 0 ? "-" + digits : digits;
}

}  // namespace longrun
