// This rank's share of a step's gradients: forward and backward over its sequences in
// micro-batches, each finished slice handed to the reducer during the last one.
//
// What has been computed survives a change of membership: when the same rank of as many ranks runs
// the same step again, it goes on where it was, so a recovery costs the survivors no second
// backward pass.
//
// Belongs to the training loop's thread.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "training/gradient_reducer.h"
#include "training/session.h"
#include "training/token_file.h"
#include "training/train_config.h"
#include "training/train_state.h"

namespace longrun::training {

class LocalGradient {
 public:
  LocalGradient(const TrainConfig& config, const TokenFile* tokens)
      : config_(config), tokens_(tokens) {}

  // Computes what is missing of the gradients of the mean loss over the step's whole batch, and
  // gives them to `reducer`, which was begun for it. Aborted between micro-batches when a newer
  // membership arrives. DataLoss where the tokens cannot be read.
  absl::Status Compute(Session* session, TrainState* state, GradientReducer* reducer);
  // Sum of the losses of this rank's tokens, once computed.
  double loss_sum() const { return loss_sum_; }
  // Steps that took something over from a broken attempt.
  int64_t resumed() const { return resumed_; }
  // The model's gradients are nobody's any more.
  void Forget() { step_ = -1; }

 private:
  const TrainConfig config_;
  const TokenFile* const tokens_;
  int64_t step_ = -1, rank_ = 0, world_ = 0;  // whose gradients the model holds
  int64_t next_ = 0;                          // sequences of the share done
  double loss_sum_ = 0;
  int64_t resumed_ = 0;
};

// Tokens of the sequences at `offsets`: [offsets.size(), context + 1] int64 on the CPU.
absl::StatusOr<at::Tensor> ReadBatch(const TokenFile& tokens, std::span<const int64_t> offsets,
                                     int64_t context);

}  // namespace longrun::training
