#include "serving/sample/penalties.h"

namespace longrun::serving {

Penalties::Penalties(const SamplingConfig& config, std::span<const TokenId> prompt)
    : frequency_(config.frequency_penalty),
      presence_(config.presence_penalty),
      repetition_(config.repetition_penalty) {
  if (repetition_ == 1) return;
  for (const TokenId token : prompt) generated_.try_emplace(token, 0);
}

void Penalties::Add(TokenId generated) {
  if (active()) ++generated_[generated];
}

void Penalties::Apply(std::span<float> logits) const {
  for (const auto& [token, times] : generated_) {
    if (static_cast<size_t>(token) >= logits.size()) continue;
    double logit = logits[static_cast<size_t>(token)];
    logit -= frequency_ * static_cast<double>(times) + (times > 0 ? presence_ : 0);
    if (repetition_ != 1) logit = logit > 0 ? logit / repetition_ : logit * repetition_;
    logits[static_cast<size_t>(token)] = static_cast<float>(logit);
  }
}

}  // namespace longrun::serving
