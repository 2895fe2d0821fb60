#include "serving/sample/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "serving/sample/penalties.h"
#include "serving/sample/row.h"

namespace longrun::serving {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

constexpr int kMostRefused = 100;  // tokens, in the choice of one

absl::Status NothingMayFollow() {
  return absl::InvalidArgumentError(
      "no token may follow by the format; a wider schema, or other logit_bias, leaves more");
}

// Rows that live for one call: of the thread rather than of each of thousands of choices.
struct Scratch {
  std::vector<float> logits;
  std::vector<float> weights;
  std::vector<double> block_sums;
  std::vector<TokenId> between;
  std::vector<uint32_t> mask;
};
Scratch& ThreadScratch() {
  static thread_local Scratch scratch;
  return scratch;
}

// Uniform in [0, 1), of the seed, the choice and the token's place alone.
double UniformOf(uint64_t seed, int64_t choice, int64_t place) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;
  uint64_t h = Mix64(seed + kGolden);
  h = Mix64((h ^ static_cast<uint64_t>(choice)) + kGolden);
  h = Mix64((h ^ static_cast<uint64_t>(place)) + kGolden);
  return static_cast<double>(h >> 11) * 0x1.0p-53;
}

// Keeps the fewest, likeliest, whose weights sum to at least `mass` (Holtzman et al. 2020), equals
// by their place: makes the weight of equals that are too many 0, returns the least that is kept.
// The bits of weights are in the order of their values: halves what lies between one that leaves
// too much and one that leaves too little, until few are left there.
float KeepNucleus(double mass, std::span<float> weights, Scratch* scratch) {
  constexpr int64_t kFew = 256;
  uint32_t low = std::bit_cast<uint32_t>(std::numeric_limits<float>::min());
  uint32_t high = std::bit_cast<uint32_t>(1.0f) + 1;  // none is as large
  const auto mass_from = [&](uint32_t bits) {
    return MassAtLeast(weights, std::bit_cast<float>(bits), &scratch->block_sums);
  };
  Mass more = mass_from(low), less;
  if (more.sum < mass) return std::bit_cast<float>(low);  // rounding: all of them
  while (high - low > 1 && more.count - less.count > kFew) {
    const uint32_t middle = low + (high - low) / 2;
    const Mass at = mass_from(middle);
    if (at.sum >= mass) {
      low = middle;
      more = at;
    } else {
      high = middle;
      less = at;
    }
  }
  std::vector<TokenId>& between = scratch->between;
  between.clear();
  AppendBetween(weights, std::bit_cast<float>(low), std::bit_cast<float>(high), &between);
  const auto weight_of = [&](TokenId at) -> float& { return weights[static_cast<size_t>(at)]; };
  std::stable_sort(between.begin(), between.end(),
                   [&](TokenId a, TokenId b) { return weight_of(a) > weight_of(b); });
  float least = std::bit_cast<float>(low);
  size_t kept = 0;
  for (double sum = less.sum; kept < between.size() && (sum < mass || kept == 0); ++kept) {
    least = weight_of(between[kept]);
    sum += least;
  }
  for (; kept < between.size() && weight_of(between[kept]) == least; ++kept) {
    weight_of(between[kept]) = 0;
  }
  return least;
}

// The block in whose part of the sum `*left` lies; takes from it what lies before.
size_t BlockAt(const std::vector<double>& sums, double* left) {
  size_t block = 0;
  while (block + 1 < sums.size() && *left >= sums[block]) *left -= sums[block++];
  return block * kRowBlock;
}

// The place, of those that weigh at least `least` > 0, at `uniform` of their sum: first the block,
// then the place in it.
size_t DrawAtLeast(std::span<const float> weights, float least, double uniform, Scratch* scratch) {
  double left = uniform * MassAtLeast(weights, least, &scratch->block_sums).sum;
  const size_t begin = BlockAt(scratch->block_sums, &left);
  const size_t end = std::min<size_t>(begin + kRowBlock, weights.size());
  size_t last = weights.size();
  for (size_t i = begin; i < end; ++i) {
    if (weights[i] < least) continue;
    last = i;
    left -= weights[i];
    if (left < 0) return i;
  }
  if (last < weights.size()) return last;  // rounding
  return static_cast<size_t>(std::max_element(weights.begin(), weights.end()) - weights.begin());
}

// The same of all tokens, whose weights are made twice for that block alone and never kept.
TokenId DrawFromAll(std::span<const float> logits, const Peak& peak, float scale, double uniform,
                    Scratch* scratch) {
  double left = uniform * Weigh(logits, peak.value, scale, {}, &scratch->block_sums);
  const size_t begin = BlockAt(scratch->block_sums, &left);
  logits = logits.subspan(begin, std::min<size_t>(kRowBlock, logits.size() - begin));
  scratch->weights.resize(std::max<size_t>(scratch->weights.size(), kRowBlock));
  Weigh(logits, peak.value, scale, scratch->weights, &scratch->block_sums);
  TokenId last = peak.token;  // where rounding led into a last block without weight
  for (size_t i = 0; i < logits.size(); ++i) {
    if (scratch->weights[i] == 0) continue;
    last = static_cast<TokenId>(begin + i);
    left -= scratch->weights[i];
    if (left < 0) return last;
  }
  return last;
}

float ScaleOf(double temperature) {
  return static_cast<float>(std::clamp(1 / temperature, 1e-30, 1e30));  // -inf stays -inf
}

Logprobs LogprobsAt(std::span<const float> logits, const Peak& peak, TokenId token, int64_t top) {
  const double log_sum = std::log(SumOfExp(logits, peak.value));
  const auto logprob = [&](TokenId t) {
    return static_cast<float>(logits[static_cast<size_t>(t)] - peak.value - log_sum);
  };
  Logprobs out;
  out.chosen = {token, logprob(token)};
  if (top <= 0) return out;
  const auto size = static_cast<int64_t>(logits.size());
  for (const TokenId t : Largest(logits, std::min(top, size))) out.top.push_back({t, logprob(t)});
  std::stable_sort(out.top.begin(), out.top.end(),
                   [](const auto& a, const auto& b) { return a.logprob > b.logprob; });
  return out;
}

}  // namespace

struct Sampler::State {
  SamplingConfig config;
  int64_t choice;
  size_t vocab_size;
  Penalties penalties;
  std::unique_ptr<ConstraintState> constraint;
  int64_t place = 0;  // how many tokens were generated

  // Bias and penalties; the row itself where there are none.
  std::span<float> Adjusted(std::span<const float> logits, Scratch* scratch) const {
    scratch->logits.assign(logits.begin(), logits.end());
    for (const auto& [token, bias] : config.logit_bias) {
      scratch->logits[static_cast<size_t>(token)] += bias;
    }
    penalties.Apply(scratch->logits);
    return scratch->logits;
  }

  void Constrain(std::span<float> logits, Scratch* scratch) const {
    scratch->mask.assign((vocab_size + 31) / 32, 0);
    constraint->Mask(scratch->mask);
    for (size_t word = 0; word < scratch->mask.size(); ++word) {
      const uint32_t bits = scratch->mask[word];
      if (bits == ~0u) continue;
      const size_t end = std::min(vocab_size, (word + 1) * 32);
      for (size_t t = word * 32; t < end; ++t) {
        if ((bits >> (t % 32) & 1) == 0) logits[t] = -kInfinity;
      }
    }
  }

  TokenId Choose(std::span<const float> logits, const Peak& peak, Scratch* scratch) const {
    if (config.temperature == 0 || config.top_k == 1) return peak.token;
    const double uniform = UniformOf(config.seed, choice, place);
    const float scale = ScaleOf(config.temperature);
    const bool some = config.top_k > 0 && config.top_k < static_cast<int64_t>(vocab_size);
    if (!some && config.top_p == 1 && config.min_p == 0) {
      return DrawFromAll(logits, peak, scale, uniform, scratch);
    }
    std::vector<TokenId> tokens;  // where they are not all
    std::vector<float> row;
    if (some) {
      tokens = Largest(logits, config.top_k);
      for (const TokenId t : tokens) row.push_back(logits[static_cast<size_t>(t)]);
      logits = row;
    }
    scratch->weights.resize(std::max(scratch->weights.size(), logits.size()));
    const std::span<float> weights = std::span(scratch->weights).first(logits.size());
    const double mass = Weigh(logits, peak.value, scale, weights, &scratch->block_sums);
    float least = std::numeric_limits<float>::min();
    if (config.top_p < 1) least = KeepNucleus(config.top_p * mass, weights, scratch);
    least = std::max(least, static_cast<float>(config.min_p));  // the likeliest weighs 1
    const size_t at = DrawAtLeast(weights, least, uniform, scratch);
    return some ? tokens[at] : static_cast<TokenId>(at);
  }

  // Gives the constraint the token, or where that refuses what its mask allowed, the next choice.
  // A schema can bring that about; it must not cost more than it does to say so.
  absl::StatusOr<TokenId> ChooseAccepted(TokenId token, std::span<float> logits,
                                         Scratch* scratch) const {
    for (int refused = 0; !constraint->Accept(token); ++refused) {
      logits[static_cast<size_t>(token)] = -kInfinity;
      const Peak peak = FindPeak(logits);
      if (!peak.valid || refused == kMostRefused) return NothingMayFollow();
      token = Choose(logits, peak, scratch);
    }
    return token;
  }
};

Sampler::Sampler(const SamplingConfig& config, int64_t choice, int64_t vocab_size,
                 std::span<const TokenId> prompt, std::unique_ptr<ConstraintState> constraint)
    : state_(new State{config, choice, static_cast<size_t>(vocab_size), Penalties(config, prompt),
                       std::move(constraint)}) {}
Sampler::~Sampler() = default;
Sampler::Sampler(Sampler&&) noexcept = default;
Sampler& Sampler::operator=(Sampler&&) noexcept = default;

absl::StatusOr<Sampled> Sampler::Next(std::span<const float> logits) {
  State& s = *state_;
  LR_CHECK_EQ(logits.size(), s.vocab_size);
  Scratch& scratch = ThreadScratch();
  const bool adjusts = !s.config.logit_bias.empty() || s.penalties.active();
  std::span<float> own;
  if (adjusts || s.constraint != nullptr) {
    own = s.Adjusted(logits, &scratch);
    logits = own;
  }
  Peak peak = FindPeak(logits);
  if (!peak.valid) return absl::FailedPreconditionError("the model's logits are not numbers");
  const bool wants_logprobs = s.config.top_logprobs >= 0;
  Sampled sampled;
  std::vector<float> unbound;  // for the logprobs, which are those before the constraint
  const Peak unbound_peak = peak;
  if (s.constraint != nullptr) {
    if (wants_logprobs) unbound.assign(own.begin(), own.end());
    s.Constrain(own, &scratch);
    peak = FindPeak(logits);
    if (!peak.valid) return NothingMayFollow();
  }
  sampled.token = s.Choose(logits, peak, &scratch);
  if (s.constraint != nullptr) {
    LR_ASSIGN_OR_RETURN(sampled.token, s.ChooseAccepted(sampled.token, own, &scratch));
  }
  if (wants_logprobs) {
    sampled.logprobs = LogprobsAt(unbound.empty() ? logits : std::span<const float>(unbound),
                                  unbound_peak, sampled.token, s.config.top_logprobs);
  }
  s.penalties.Add(sampled.token);
  ++s.place;
  return sampled;
}

absl::StatusOr<std::vector<Sampled>> Sampler::Verify(std::span<const float> logits,
                                                     std::span<const TokenId> draft,
                                                     int64_t mask_effort) {
  const size_t row = state_->vocab_size;
  LR_CHECK_EQ(logits.size(), (draft.size() + 1) * row);
  std::vector<Sampled> accepted;
  for (size_t i = 0; i <= draft.size(); ++i) {
    if (i > 0 && constraint() != nullptr) {
      mask_effort -= constraint()->Prepare(mask_effort);
      if (!constraint()->ready()) break;
    }
    absl::StatusOr<Sampled> next = Next(logits.subspan(i * row, row));
    if (!next.ok() && accepted.empty()) return next.status();
    if (!next.ok()) break;
    accepted.push_back(*std::move(next));
    if (complete() || i == draft.size() || accepted.back().token != draft[i]) break;
  }
  return accepted;
}

ConstraintState* Sampler::constraint() { return state_->constraint.get(); }

bool Sampler::complete() const {
  return state_->constraint != nullptr && state_->constraint->complete();
}

Logprobs LogprobsOf(std::span<const float> logits, TokenId token, int64_t top) {
  LR_CHECK(token >= 0 && static_cast<size_t>(token) < logits.size());
  return LogprobsAt(logits, FindPeak(logits), token, top);
}

}  // namespace longrun::serving
