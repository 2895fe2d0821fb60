// What becomes of one choice with the tokens that were sampled for it: its text, and whether it
// ends. Nothing here knows of blocks or steps.
#pragma once

#include <span>
#include <vector>

#include "model/tokenizer.h"
#include "serving/engine/sequence.h"

namespace longrun::serving {

// A choice's sampler and text, before its first token.
void BeginChoice(Sequence* sequence, const model::Tokenizer& tokenizer, int64_t vocab_size);

// The tokens that follow by `logits` [1 + drafts, stride], those of the vocabulary first: one, or
// with drafts as many of them as hold and one more. Different sequences may be asked at once.
absl::StatusOr<std::vector<Sampled>> SampleNext(Sequence* sequence, std::span<const float> logits,
                                                int64_t drafts, int64_t stride, int64_t vocab_size);

// Takes tokens in order until one ends the choice: end of text or a stop token (not part of the
// delta), a stop string, the last of a constrained text, max_tokens. Appends them to the sequence
// and sets `delta->finish`. The result: how many of `sampled` the sequence has now.
int64_t TakeSampled(Sequence* sequence, std::vector<Sampled> sampled,
                    const model::Tokenizer& tokenizer, Delta* delta);

// Rows of logits [tokens.size(), vocab] that follow each of prompt tokens [first, first + rows):
// appends the logprobs of those after them which are still missing. [0] has no value.
void EchoLogprobs(Progress* request, int64_t first, std::span<const float> logits, int64_t stride,
                  int64_t vocab_size);

// Adds the states [rows, d_model] of tokens [first, first + rows), each once.
void AddStates(Progress* request, int64_t first, std::span<const float> states, int64_t d_model);
std::vector<float> MeanState(const Progress& request);

}  // namespace longrun::serving
