#include <fmt/core.h>

#include <cmath>

#include "serving/request.h"

namespace longrun::serving {
namespace {

constexpr double kLargestPenalty = 2;  // as OpenAI has it
constexpr double kLargestBias = 100;
constexpr int64_t kMostTopLogprobs = 20;

template <class... T>
absl::Status Refuse(fmt::format_string<T...> format, T&&... values) {
  return absl::InvalidArgumentError(fmt::format(format, std::forward<T>(values)...));
}

absl::Status CheckPenalty(const char* name, double value) {
  if (std::abs(value) <= kLargestPenalty) return absl::OkStatus();
  return Refuse("{}: {} is not between -{} and {}", name, value, kLargestPenalty, kLargestPenalty);
}

}  // namespace

absl::Status SamplingConfig::Validate(int64_t vocab_size) const {
  for (const auto& [token, bias] : logit_bias) {
    if (token < 0 || token >= vocab_size) {
      return Refuse("logit_bias: the model has no token {}; 0 to {} are", token, vocab_size - 1);
    }
    if (!(std::abs(bias) <= kLargestBias)) {
      return Refuse("logit_bias: {} for token {} is not between -{} and {}", bias, token,
                    kLargestBias, kLargestBias);
    }
  }
  LR_RETURN_IF_ERROR(CheckPenalty("frequency_penalty", frequency_penalty));
  LR_RETURN_IF_ERROR(CheckPenalty("presence_penalty", presence_penalty));
  if (!(repetition_penalty > 0 && std::isfinite(repetition_penalty))) {
    return Refuse("repetition_penalty: {} is not above 0", repetition_penalty);
  }
  if (!(temperature >= 0 && std::isfinite(temperature))) {
    return Refuse("temperature: {} is not at least 0", temperature);
  }
  if (top_k < 0) return Refuse("top_k: {} is not at least 0", top_k);
  if (!(top_p > 0 && top_p <= 1)) return Refuse("top_p: {} is not above 0 and at most 1", top_p);
  if (!(min_p >= 0 && min_p <= 1)) return Refuse("min_p: {} is not between 0 and 1", min_p);
  if (top_logprobs < -1 || top_logprobs > kMostTopLogprobs) {
    return Refuse("top_logprobs: {} is not between 0 and {}", top_logprobs, kMostTopLogprobs);
  }
  return absl::OkStatus();
}

}  // namespace longrun::serving
