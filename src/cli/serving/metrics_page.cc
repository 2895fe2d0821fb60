#include "cli/serving/metrics_page.h"

#include <cmath>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace longrun::cli {
namespace {

bool ReadNumber(std::string_view text, double& value) {
  if (text == "+Inf" || text == "Inf") {
    value = std::numeric_limits<double>::infinity();
    return true;
  }
  return absl::SimpleAtod(std::string(text), &value);
}

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == ':';
}

void SkipBlanks(std::string_view& text) {
  while (!text.empty() && (text[0] == ' ' || text[0] == '\t')) text.remove_prefix(1);
}

std::string TakeName(std::string_view& text) {
  size_t n = 0;
  while (n < text.size() && IsNameByte(text[n])) ++n;
  std::string name(text.substr(0, n));
  text.remove_prefix(n);
  return name;
}

// "…" with \\, \" and \n.
bool TakeQuoted(std::string_view& text, std::string& out) {
  if (text.empty() || text[0] != '"') return false;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return true;
    }
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
      out += text[i] == 'n' ? '\n' : text[i];
    } else {
      out += text[i];
    }
  }
  return false;
}

// {name="value",…} where there is one.
bool TakeLabels(std::string_view& text, std::map<std::string, std::string>& labels) {
  if (text.empty() || text[0] != '{') return true;
  text.remove_prefix(1);
  while (true) {
    SkipBlanks(text);
    if (!text.empty() && text[0] == '}') break;
    const std::string name = TakeName(text);
    SkipBlanks(text);
    if (name.empty() || text.empty() || text[0] != '=') return false;
    text.remove_prefix(1);
    SkipBlanks(text);
    if (!TakeQuoted(text, labels[name])) return false;
    SkipBlanks(text);
    if (!text.empty() && text[0] == ',') text.remove_prefix(1);
  }
  text.remove_prefix(1);
  return true;
}

// Upper bound -> how many were at or below it, over all label sets.
std::map<double, double> Buckets(const MetricsPage& page, const std::string& name) {
  std::map<double, double> buckets;
  for (const MetricSample& sample : page.Samples(name + "_bucket")) {
    const auto le = sample.labels.find("le");
    double bound = 0;
    if (le != sample.labels.end() && ReadNumber(le->second, bound)) buckets[bound] += sample.value;
  }
  return buckets;
}

}  // namespace

absl::StatusOr<MetricsPage> MetricsPage::Parse(std::string_view text) {
  MetricsPage page;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    SkipBlanks(line);
    if (line.empty() || line[0] == '#') continue;
    MetricSample sample;
    const std::string name = TakeName(line);
    SkipBlanks(line);
    const bool labelled = TakeLabels(line, sample.labels);
    SkipBlanks(line);
    const std::string_view value = line.substr(0, line.find_first_of(" \t"));
    if (name.empty() || !labelled || !ReadNumber(value, sample.value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, " of the metrics is not in Prometheus's text format"));
    }
    page.samples_[name].push_back(std::move(sample));
  }
  return page;
}

const std::vector<MetricSample>& MetricsPage::Samples(const std::string& name) const {
  static const std::vector<MetricSample> none;
  const auto it = samples_.find(name);
  return it == samples_.end() ? none : it->second;
}

double MetricsPage::Sum(const std::string& name) const {
  double sum = 0;
  for (const MetricSample& sample : Samples(name)) sum += sample.value;
  return sum;
}

double MetricsPage::Mean(const std::string& name) const {
  const size_t n = Samples(name).size();
  return n == 0 ? 0 : Sum(name) / static_cast<double>(n);
}

double HistogramQuantile(const MetricsPage* before, const MetricsPage& after,
                         const std::string& name, double quantile) {
  std::map<double, double> buckets = Buckets(after, name);
  if (before != nullptr) {
    for (const auto& [bound, count] : Buckets(*before, name)) buckets[bound] -= count;
  }
  if (buckets.empty()) return -1;
  const double all = buckets.rbegin()->second;
  if (!(all > 0)) return -1;
  double low = 0, below = 0;
  for (const auto& [bound, count] : buckets) {
    if (count >= quantile * all && count > below) {
      if (std::isinf(bound)) return low;
      return low + (bound - low) * (quantile * all - below) / (count - below);
    }
    low = bound;
    below = count;
  }
  return low;
}

}  // namespace longrun::cli
