#include "model/sample.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/check.h"

namespace longrun::model {
namespace {

absl::Status Refuse(const std::string& field, const std::string& what) {
  return absl::InvalidArgumentError(field + ": " + what);
}

struct Candidate {
  int64_t token;
  double weight;
};

// Candidates from the likeliest down, with weights exp(logit / temperature) relative to the first.
std::vector<Candidate> Ranked(std::span<const float> logits, const SampleConfig& config) {
  std::vector<int64_t> order(logits.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  const size_t keep =
      config.top_k > 0 ? std::min(order.size(), static_cast<size_t>(config.top_k)) : order.size();
  const auto likelier = [&](int64_t a, int64_t b) {
    const float la = logits[static_cast<size_t>(a)], lb = logits[static_cast<size_t>(b)];
    return la != lb ? la > lb : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(keep), order.end(),
                    likelier);
  const double top = logits[static_cast<size_t>(order[0])];
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < keep; ++i) {
    const double logit = logits[static_cast<size_t>(order[i])];
    candidates.push_back({order[i], std::exp((logit - top) / config.temperature)});
  }
  return candidates;
}

}  // namespace

absl::Status SampleConfig::Validate() const {
  if (!(temperature >= 0 && std::isfinite(temperature))) {
    return Refuse("temperature", "must be at least 0");
  }
  if (top_k < 0) return Refuse("top_k", "must be at least 0");
  if (!(top_p > 0 && top_p <= 1)) return Refuse("top_p", "must be above 0 and at most 1");
  if (max_tokens < 0) return Refuse("max_tokens", "must be at least 0");
  return absl::OkStatus();
}

int64_t SampleToken(std::span<const float> logits, const SampleConfig& config, Random& random) {
  LR_CHECK(!logits.empty());
  if (config.temperature == 0) {
    return std::max_element(logits.begin(), logits.end()) - logits.begin();
  }
  std::vector<Candidate> candidates = Ranked(logits, config);
  const auto sum = [&] {
    double total = 0;
    for (const Candidate& c : candidates) total += c.weight;
    return total;
  };
  double total = sum();
  if (config.top_p < 1) {
    double reached = 0;
    size_t n = 0;
    while (n < candidates.size() && reached < config.top_p * total) {
      reached += candidates[n++].weight;
    }
    candidates.resize(std::max<size_t>(n, 1));
    total = sum();
  }
  double left = random.Uniform() * total;
  for (const Candidate& c : candidates) {
    left -= c.weight;
    if (left < 0) return c.token;
  }
  return candidates.back().token;
}

absl::StatusOr<std::vector<int64_t>> Generate(Gpt* gpt, std::span<const int64_t> prompt,
                                              const SampleConfig& config, const OnToken& on_token) {
  LR_RETURN_IF_ERROR(config.Validate());
  if (prompt.empty()) return absl::InvalidArgumentError("the prompt has no tokens");
  for (const int64_t token : prompt) {
    if (token >= 0 && token < gpt->config().vocab_size) continue;
    return absl::InvalidArgumentError("token " + std::to_string(token) +
                                      " of the prompt is not in the model's vocabulary of " +
                                      std::to_string(gpt->config().vocab_size));
  }
  const int64_t context = gpt->config().context;
  const int64_t kept = std::max<int64_t>(context / 2, 1);
  Random random(config.seed);
  std::vector<int64_t> text(prompt.begin(), prompt.end());
  std::vector<int64_t> generated;
  KvCache cache;
  int64_t fresh = std::min<int64_t>(static_cast<int64_t>(text.size()), context);
  while (static_cast<int64_t>(generated.size()) < config.max_tokens) {
    if (cache.length + fresh > context) {
      cache.length = 0;
      fresh = kept;
    }
    at::Tensor next = at::empty({fresh}, at::kLong);
    std::copy(text.end() - fresh, text.end(), next.data_ptr<int64_t>());
    const at::Tensor logits = gpt->Extend(next, &cache);
    const int64_t token = SampleToken(
        {logits.data_ptr<float>(), static_cast<size_t>(logits.numel())}, config, random);
    if (token == config.stop_token) break;
    text.push_back(token);
    generated.push_back(token);
    fresh = 1;
    if (on_token && !on_token(token)) break;
  }
  return generated;
}

}  // namespace longrun::model
