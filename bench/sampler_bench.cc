// What choosing a token costs on one thread, for logits as steep as a trained model's and as flat
// as a random one's: medians in microseconds.

#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "base/time.h"
#include "serving/sample/sampler.h"

namespace longrun::serving {
namespace {

constexpr int kRuns = 301;

std::vector<float> RandomLogits(size_t vocab, double spread) {
  Random random(1);
  std::vector<float> logits(vocab);
  for (float& x : logits) x = static_cast<float>(random.Normal() * spread);
  return logits;
}

double MedianMicroseconds(const SamplingConfig& config, const std::vector<float>& logits) {
  std::vector<double> times;
  Sampler sampler(config, 0, static_cast<int64_t>(logits.size()), {}, nullptr);
  for (int i = 0; i < kRuns; ++i) {
    const Stopwatch watch;
    LR_CHECK(sampler.Next(logits).ok());
    times.push_back(watch.seconds() * 1e6);
  }
  std::nth_element(times.begin(), times.begin() + kRuns / 2, times.end());
  return times[kRuns / 2];
}

void Main() {
  const std::vector<std::pair<const char*, SamplingConfig>> configs = {
      {"greedy", {.temperature = 0}},
      {"temperature 1", {}},
      {"top_k 50", {.top_k = 50}},
      {"top_p 0.95", {.top_p = 0.95}},
      {"top_k 50, top_p 0.95, min_p 0.05", {.top_k = 50, .top_p = 0.95, .min_p = 0.05}},
      {"greedy, 5 logprobs", {.temperature = 0, .top_logprobs = 5}},
      {"greedy, frequency_penalty", {.frequency_penalty = 0.5, .temperature = 0}},
  };
  fmt::print("{:<36}{:>22}{:>22}\n", "microseconds a token", "vocabulary of 50257", "of 128256");
  fmt::print("{:<36}{:>11}{:>11}{:>11}{:>11}\n", "", "steep", "flat", "steep", "flat");
  for (const auto& [name, config] : configs) {
    fmt::print("{:<36}", name);
    for (const size_t vocab : {50257, 128256}) {
      for (const double spread : {4.0, 0.3}) {
        fmt::print("{:>11.1f}", MedianMicroseconds(config, RandomLogits(vocab, spread)));
      }
    }
    fmt::print("\n");
  }
}

}  // namespace
}  // namespace longrun::serving

int main() { longrun::serving::Main(); }
