#include "cli/serving/bench_load.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/units.h"
#include "nlohmann/json.hpp"

namespace longrun::cli {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMostTokens = 1e6;

// Common enough that most vocabularies have each as a token of its own, with the blank before it.
constexpr std::array<const char*, 48> kWords = {
    "the",   "of",   "and",  "to",   "in",    "is",    "was",   "for",   "that",  "with",
    "on",    "as",   "are",  "at",   "from",  "this",  "have",  "not",   "but",   "what",
    "all",   "were", "when", "your", "said",  "there", "each",  "which", "she",   "do",
    "their", "time", "will", "way",  "about", "many",  "then",  "them",  "would", "like",
    "these", "long", "make", "look", "two",   "more",  "write", "go"};

using Json = nlohmann::ordered_json;

// `count` tokens, as ids or as words, from a stream of randomness of their own.
void AppendTokens(const LoadConfig& config, int64_t count, Random& random, Json& ids,
                  std::string& text) {
  for (int64_t i = 0; i < count; ++i) {
    if (config.vocabulary > 0) {
      ids.push_back(random.Below(static_cast<uint64_t>(config.vocabulary)));
    } else {
      absl::StrAppend(&text, text.empty() ? "" : " ", kWords[random.Below(kWords.size())]);
    }
  }
}

}  // namespace

int64_t LengthDistribution::Sample(Random& random) const {
  double length = a;
  if (kind == Kind::kUniform) {
    return random.Between(static_cast<int64_t>(a), static_cast<int64_t>(b));
  }
  if (kind == Kind::kLognormal) length = std::round(a * std::exp(b * random.Normal()));
  return static_cast<int64_t>(std::clamp(length, 1.0, kMostTokens));
}

absl::StatusOr<LengthDistribution> ParseLengthDistribution(std::string_view text) {
  const absl::Status malformed = absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text),
                   "\" is no number of tokens; 256, uniform:64:512 or lognormal:256:0.8 would be"));
  const std::vector<std::string> parts = absl::StrSplit(std::string(text), ':');
  LengthDistribution result;
  const auto tokens = [](const std::string& part, double& out) {
    int64_t n = 0;
    if (!absl::SimpleAtoi(part, &n) || n < 1 || n > kMostTokens) return false;
    out = static_cast<double>(n);
    return true;
  };
  if (parts.size() == 1 && tokens(parts[0], result.a)) return result;
  if (parts.size() != 3) return malformed;
  if (parts[0] == "uniform") {
    result.kind = LengthDistribution::Kind::kUniform;
    if (!tokens(parts[1], result.a) || !tokens(parts[2], result.b) || result.a > result.b) {
      return malformed;
    }
    return result;
  }
  result.kind = LengthDistribution::Kind::kLognormal;
  if (parts[0] != "lognormal" || !tokens(parts[1], result.a) ||
      !absl::SimpleAtod(parts[2], &result.b) || !(result.b >= 0 && result.b <= 5)) {
    return malformed;
  }
  return result;
}

Slo::Slo() : ttft_seconds(kInfinity), itl_seconds(kInfinity), e2e_seconds(kInfinity) {}

bool Slo::any() const {
  return std::isfinite(ttft_seconds) || std::isfinite(itl_seconds) || std::isfinite(e2e_seconds);
}

absl::StatusOr<Slo> ParseSlo(std::string_view text) {
  Slo slo;
  const std::vector<std::string> clauses = absl::StrSplit(std::string(text), ',');
  for (const std::string& clause : clauses) {
    const std::pair<std::string, std::string> sides =
        absl::StrSplit(clause, absl::MaxSplits('=', 1));
    double* bound = sides.first == "ttft"  ? &slo.ttft_seconds
                    : sides.first == "itl" ? &slo.itl_seconds
                    : sides.first == "e2e" ? &slo.e2e_seconds
                                           : nullptr;
    if (bound == nullptr || std::isfinite(*bound)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--slo: \"", clause,
                       "\": bounds are ttft=, itl= and e2e=, each once, as in ttft=0.5s,itl=50ms"));
    }
    // ParseDuration knows no fractions of a unit with a small one, so 0.5s is read here.
    double number = 0;
    const size_t unit = sides.second.find_first_not_of("0123456789.");
    const std::string name = unit == std::string::npos ? "" : sides.second.substr(unit);
    const double scale = name == "s" ? 1 : name == "ms" ? 1e-3 : 0;
    if (scale == 0 || !absl::SimpleAtod(sides.second.substr(0, unit), &number) || number <= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--slo: \"", clause, "\" wants a time such as 0.5s or 50ms"));
    }
    *bound = number * scale;
  }
  return slo;
}

std::string RequestBody(const LoadConfig& config, int64_t index) {
  Random random(Mix64(config.seed) ^ Mix64(static_cast<uint64_t>(index) + 1));
  Json ids = Json::array();
  std::string text;
  if (config.shared_prefix_tokens > 0) {
    const uint64_t which = random.Below(static_cast<uint64_t>(config.prefixes));
    Random of_prefix(Mix64(Mix64(config.seed) + 0x9e3779b97f4a7c15ull * (which + 1)));
    AppendTokens(config, config.shared_prefix_tokens, of_prefix, ids, text);
  }
  const int64_t own = config.prompt_tokens.Sample(random);
  const int64_t out = config.output_tokens.Sample(random);
  AppendTokens(config, own, random, ids, text);
  Json body;
  body["model"] = config.model;
  if (config.chat) {
    body["messages"] = Json::array({{{"role", "user"}, {"content", text}}});
  } else if (config.vocabulary > 0) {
    body["prompt"] = std::move(ids);
  } else {
    body["prompt"] = text;
  }
  body["max_tokens"] = out;
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  if (config.ignore_eos) body["ignore_eos"] = true;
  if (config.temperature.has_value()) body["temperature"] = *config.temperature;
  body["seed"] = static_cast<int64_t>(Mix64(config.seed + static_cast<uint64_t>(index)) >> 33);
  return body.dump();
}

std::vector<double> PoissonArrivals(int64_t n, double rate, uint64_t seed) {
  Random random(Mix64(seed ^ 0xa5a5a5a5ull));
  std::vector<double> arrivals;
  double at = 0;
  for (int64_t i = 0; i < n; ++i) {
    at += random.Exponential(1 / rate);
    arrivals.push_back(at);
  }
  return arrivals;
}

}  // namespace longrun::cli
