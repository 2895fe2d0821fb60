#include "serving/engine/choice.h"

#include <algorithm>

#include "base/check.h"

namespace longrun::serving {
namespace {

// Of the masks behind the first, in the drafts of one sequence: a millisecond.
constexpr int64_t kDraftMaskEffort = 50'000;

}  // namespace

void BeginChoice(Sequence* s, const model::Tokenizer& tokenizer, int64_t vocab_size) {
  const Progress& progress = *s->progress;
  const GenerationRequest& request = progress.request();
  s->sampler.emplace(request.sampling, s->choice, vocab_size, request.prompt,
                     progress.start != nullptr ? progress.start->Clone() : nullptr);
  s->text.emplace(tokenizer, request.stop, request.shown);
}

namespace {

bool EndsText(const Progress& progress, const model::Tokenizer& tokenizer, TokenId token) {
  const GenerationRequest& request = progress.request();
  // Of a constrained text the end is part of the constraint.
  if ((!request.ignore_end_of_text || progress.submission.constraint != nullptr) &&
      tokenizer.end_of_text() == token) {
    return true;
  }
  return std::find(request.stop_tokens.begin(), request.stop_tokens.end(), token) !=
         request.stop_tokens.end();
}

}  // namespace

absl::StatusOr<std::vector<Sampled>> SampleNext(Sequence* s, std::span<const float> logits,
                                                int64_t drafts, int64_t stride,
                                                int64_t vocab_size) {
  const auto vocab = static_cast<size_t>(vocab_size);
  if (drafts == 0) {
    LR_ASSIGN_OR_RETURN(Sampled one, s->sampler->Next(logits.first(vocab)));
    std::vector<Sampled> sampled;
    sampled.push_back(std::move(one));
    return sampled;
  }
  std::vector<float> narrow;
  if (vocab_size != stride) {  // rows as the sampler knows them
    for (auto from = logits.begin(); from != logits.end(); from += stride) {
      narrow.insert(narrow.end(), from, from + vocab_size);
    }
    logits = narrow;
  }
  return s->sampler->Verify(logits, std::span(s->draft_tokens).first(static_cast<size_t>(drafts)),
                            kDraftMaskEffort);
}

int64_t TakeSampled(Sequence* s, std::vector<Sampled> sampled, const model::Tokenizer& tokenizer,
                    Delta* delta) {
  const GenerationRequest& request = s->progress->request();
  const int64_t most = static_cast<int64_t>(request.prompt.size()) + request.max_tokens;
  int64_t taken = 0;
  for (Sampled& one : sampled) {
    if (EndsText(*s->progress, tokenizer, one.token)) {
      delta->finish = FinishReason::kStop;
      break;
    }
    s->tokens.push_back(one.token);
    ++s->known;
    ++taken;
    delta->tokens.push_back(one.token);
    if (request.sampling.top_logprobs >= 0) delta->logprobs.push_back(std::move(one.logprobs));
    const TextStream::Piece piece = s->text->Push(one.token);
    delta->text += piece.text;
    if (piece.stopped) {
      delta->finish = FinishReason::kStop;
      return taken;
    }
    if (s->known == most) {
      delta->finish = FinishReason::kLength;
      break;
    }
  }
  // The sampler is ahead of the text where the text ended in the midst of what was sampled.
  if (taken == static_cast<int64_t>(sampled.size()) && s->sampler->complete()) {
    delta->finish = FinishReason::kStop;
  }
  if (delta->finish != FinishReason::kNone) delta->text += s->text->Flush();
  return taken;
}

void EchoLogprobs(Progress* request, int64_t first, std::span<const float> logits, int64_t stride,
                  int64_t vocab_size) {
  const std::vector<TokenId>& prompt = request->request().prompt;
  const int64_t top = std::max<int64_t>(0, request->request().sampling.top_logprobs);
  std::vector<Logprobs>& echoed = request->prompt_logprobs;
  if (echoed.empty()) echoed.push_back({.chosen = {prompt[0], 0}});
  const int64_t rows = static_cast<int64_t>(logits.size()) / stride;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t next = first + row + 1;
    // A preempted prompt is computed again: what is known stays.
    if (next != static_cast<int64_t>(echoed.size())) continue;
    if (next >= static_cast<int64_t>(prompt.size())) break;
    echoed.push_back(LogprobsOf(
        logits.subspan(static_cast<size_t>(row * stride), static_cast<size_t>(vocab_size)),
        prompt[static_cast<size_t>(next)], top));
  }
}

void AddStates(Progress* request, int64_t first, std::span<const float> states, int64_t d_model) {
  request->state_sum.resize(static_cast<size_t>(d_model));
  const int64_t rows = static_cast<int64_t>(states.size()) / d_model;
  for (int64_t row = 0; row < rows; ++row) {
    if (first + row != request->states) continue;  // added before a preemption
    for (int64_t i = 0; i < d_model; ++i) {
      request->state_sum[static_cast<size_t>(i)] += states[static_cast<size_t>(row * d_model + i)];
    }
    ++request->states;
  }
}

std::vector<float> MeanState(const Progress& request) {
  LR_CHECK_GT(request.states, 0);
  std::vector<float> mean;
  mean.reserve(request.state_sum.size());
  for (const double sum : request.state_sum) {
    mean.push_back(static_cast<float>(sum / static_cast<double>(request.states)));
  }
  return mean;
}

}  // namespace longrun::serving
