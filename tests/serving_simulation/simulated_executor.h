// An executor on virtual time that computes nothing: it remembers which token was written to which
// slot of which block, and its "logits" are a hash of the tokens that it finds in a sequence's
// blocks. So a wrong block, an overwritten one, stale content or another's text changes what is
// generated, and whoever compares with the sequence run alone sees it. It also checks the contract
// of a step as it goes.
//
// For tests: simulated in the sense of the word.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "serving/execute/executor.h"

namespace longrun::serving_simulation {

using model::TokenId;
using serving::BlockId;

// The model: a function of the whole text.
inline constexpr int64_t kVocab = 257;  // as Tokenizer::Bytes: bytes and the end of text
inline constexpr int64_t kStateSize = 4;
// After `tokens`; `logits` [kVocab].
void LogitsAfter(std::span<const TokenId> tokens, std::span<float> logits);
// Of the last of `tokens`; `states` [kStateSize].
void StateOf(std::span<const TokenId> tokens, std::span<float> states);

struct SimulatedExecutorConfig {
  double fixed_seconds = 0.005;
  double seconds_per_token = 0.0002;
  double failure = 0;       // chance that a step fails, after it wrote garbage
  double swap_failure = 0;  // chance that a swap fails
  double swap_bytes_per_second = 1e9;
  bool swaps = false;
  int64_t context = 4096;
};

class SimulatedExecutor final : public serving::Executor {
 public:
  // `now` is moved on by each step; violations of the contract are appended to `violations`.
  SimulatedExecutor(const SimulatedExecutorConfig& config, uint64_t seed, Time* now,
                    std::vector<std::string>* violations);

  const serving::ModelShape& shape() const override { return shape_; }
  absl::Status AllocateCache(int64_t blocks, int64_t block_tokens, serving::KvType) override;
  int64_t ActivationBytes(int64_t tokens, int64_t logits) const override { return tokens + logits; }
  absl::StatusOr<serving::StepOutput> Run(const serving::StepInput& input) override;
  bool swaps() const override { return config_.swaps; }
  absl::Status SwapOut(std::span<const BlockId> blocks, std::vector<std::byte>* to) override;
  absl::Status SwapIn(std::span<const std::byte> from, std::span<const BlockId> blocks) override;

  std::function<void()> on_run;  // before each step
  int64_t swapped_out = 0, swapped_in = 0, failed = 0, tokens_computed = 0, copies = 0;

 private:
  void Violate(const std::string& what) { violations_->push_back(what); }
  TokenId& At(const serving::Slice& slice, int64_t position);
  void CheckWriters(const serving::StepInput& input);
  bool Write(const serving::StepInput& input, bool garbage);
  void Read(const serving::Slice& slice);

  SimulatedExecutorConfig config_;
  Random random_;
  Time* now_;
  std::vector<std::string>* violations_;
  serving::ModelShape shape_;
  int64_t block_tokens_ = 0;
  std::vector<TokenId> slots_;  // [blocks, block_tokens]; -1: nothing was ever written
  std::vector<float> logits_, states_;
};

}  // namespace longrun::serving_simulation
