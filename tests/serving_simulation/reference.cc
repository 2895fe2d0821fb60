#include "serving_simulation/reference.h"

#include <algorithm>

#include "serving/sample/sampler.h"
#include "serving/sample/text_stream.h"
#include "serving_simulation/simulated_constraint.h"
#include "serving_simulation/simulated_executor.h"

namespace longrun::serving_simulation {
namespace {

using serving::FinishReason;
using serving::GenerationRequest;

ChoiceResult Generate(const GenerationRequest& r, int64_t choice,
                      const model::Tokenizer& tokenizer) {
  ChoiceResult result;
  serving::Sampler sampler(r.sampling, choice, kVocab, r.prompt, StartAlone(r.format));
  const bool constrained = r.format.kind != serving::FormatKind::kText;
  serving::TextStream text(tokenizer, r.stop);
  std::vector<TokenId> tokens = r.prompt;
  std::vector<float> logits(kVocab);
  result.finish = FinishReason::kLength;
  for (int64_t i = 0; i < r.max_tokens; ++i) {
    LogitsAfter(tokens, logits);
    const serving::Sampled next = *sampler.Next(logits);
    const bool end = (constrained || !r.ignore_end_of_text) && next.token == kVocab - 1;
    if (end || std::count(r.stop_tokens.begin(), r.stop_tokens.end(), next.token) > 0) {
      result.finish = FinishReason::kStop;
      break;
    }
    tokens.push_back(next.token);
    result.tokens.push_back(next.token);
    if (r.sampling.top_logprobs >= 0) result.logprobs.push_back(next.logprobs);
    const serving::TextStream::Piece piece = text.Push(next.token);
    result.text += piece.text;
    if (piece.stopped) {
      result.finish = FinishReason::kStop;
      return result;
    }
    if (sampler.complete()) {
      result.finish = FinishReason::kStop;
      break;
    }
  }
  result.text += text.Flush();
  return result;
}

}  // namespace

Result RunAlone(const GenerationRequest& r, const model::Tokenizer& tokenizer) {
  Result result;
  const std::span<const TokenId> prompt = r.prompt;
  if (r.embedding) {
    std::vector<double> sum(kStateSize);
    std::vector<float> state(kStateSize);
    for (size_t i = 0; i < prompt.size(); ++i) {
      StateOf(prompt.first(i + 1), state);
      for (size_t d = 0; d < sum.size(); ++d) sum[d] += state[d];
    }
    for (const double s : sum) {
      result.embedding.push_back(static_cast<float>(s / static_cast<double>(prompt.size())));
    }
    result.choices.push_back({.finish = FinishReason::kStop});
    return result;
  }
  if (r.prompt_logprobs) {
    result.prompt_logprobs.push_back({.chosen = {prompt[0], 0}});
    std::vector<float> logits(kVocab);
    for (size_t i = 1; i < prompt.size(); ++i) {
      LogitsAfter(prompt.first(i), logits);
      result.prompt_logprobs.push_back(
          serving::LogprobsOf(logits, prompt[i], std::max<int64_t>(0, r.sampling.top_logprobs)));
    }
  }
  for (int64_t c = 0; c < r.choices; ++c) result.choices.push_back(Generate(r, c, tokenizer));
  return result;
}

}  // namespace longrun::serving_simulation
