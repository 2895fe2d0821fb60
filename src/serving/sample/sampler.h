// Logits to a token. One Sampler for each choice of a request, on the engine's thread; the result
// is a function of (logits, config, choice, the tokens so far): never of the batch. Logprobs are
// those before the constraint: what the model would have said unbound.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "serving/grammar/constraint.h"
#include "serving/request.h"

namespace longrun::serving {

struct Sampled {
  TokenId token = 0;
  Logprobs logprobs;  // filled where the config asks for them
};

class Sampler {
 public:
  // `constraint` may be null. `prompt` is read by the repetition penalty alone.
  Sampler(const SamplingConfig& config, int64_t choice, int64_t vocab_size,
          std::span<const TokenId> prompt, std::unique_ptr<ConstraintState> constraint);
  ~Sampler();
  Sampler(Sampler&&) noexcept;
  Sampler& operator=(Sampler&&) noexcept;

  // The next token given logits [vocab_size], and takes it as generated.
  // InvalidArgument: the constraint allows no token, which is the request's doing.
  // FailedPrecondition: the logits are not numbers.
  absl::StatusOr<Sampled> Next(std::span<const float> logits);

  // Speculation: `logits` [draft.size() + 1, vocab_size] follow the last token and each of the
  // draft's. Returns the accepted tokens and one more, as Next would have made them one by one:
  // each position draws its own token with its own random number, and the draft holds while it
  // agrees. So the result is exact, not in distribution alone. Ends early where the text is
  // complete or, after the first, where Next would fail, or the constraint's masks would take more
  // than `mask_effort` together.
  absl::StatusOr<std::vector<Sampled>> Verify(std::span<const float> logits,
                                              std::span<const TokenId> draft,
                                              int64_t mask_effort = ConstraintState::kAllEffort);

  // Whose mask Next wants, and makes where it is not ready; or null.
  ConstraintState* constraint();

  // The constraint's text is complete: the choice ends here.
  bool complete() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// log softmax at `token` and the `top` likeliest; for echoed prompts.
Logprobs LogprobsOf(std::span<const float> logits, TokenId token, int64_t top);

}  // namespace longrun::serving
