#include "training/local_gradient.h"

#include <algorithm>

#include "base/random.h"
#include "training/batches.h"

namespace longrun::training {

absl::StatusOr<at::Tensor> ReadBatch(const TokenFile& tokens, std::span<const int64_t> offsets,
                                     int64_t context) {
  at::Tensor batch = at::empty({static_cast<int64_t>(offsets.size()), context + 1}, at::kLong);
  int64_t* row = batch.data_ptr<int64_t>();
  for (const int64_t offset : offsets) {
    const std::span<int64_t> out(row, static_cast<size_t>(context + 1));
    LR_RETURN_IF_ERROR(tokens.Read(offset, out));
    row += context + 1;
  }
  return batch;
}

absl::Status LocalGradient::Compute(Session* session, TrainState* state, GradientReducer* reducer) {
  const GangSpec& spec = session->spec();
  if (step_ != state->step() || rank_ != spec.rank || world_ != spec.world) {
    step_ = state->step();
    rank_ = spec.rank;
    world_ = spec.world;
    next_ = 0;
    loss_sum_ = 0;
  } else {
    ++resumed_;
  }
  const int64_t context = config_.model.context;
  const std::vector<int64_t> offsets =
      SequenceOffsets(config_.seed, step_, config_.batch, context, tokens_->size());
  const Share share = ShareOf(config_.batch, rank_, world_);
  if (share.size() == 0) state->model().flat().gradients().zero_();
  const int64_t micro = config_.micro_batch > 0 ? config_.micro_batch : config_.batch;
  bool announced = false;
  while (next_ < share.size()) {
    if (session->Superseded()) return absl::AbortedError("a newer membership is here");
    const int64_t count = std::min(micro, share.size() - next_);
    const std::span<const int64_t> mine = std::span(offsets).subspan(
        static_cast<size_t>(share.begin + next_), static_cast<size_t>(count));
    LR_ASSIGN_OR_RETURN(const at::Tensor batch, ReadBatch(*tokens_, mine, context));
    model::BackwardOptions options;
    options.loss_scale = 1.0 / static_cast<double>(config_.batch * context);
    options.accumulate = next_ > 0;
    options.dropout_seed = Mix64(
        config_.seed ^ Mix64(static_cast<uint64_t>(step_ * config_.batch + share.begin + next_)));
    announced = next_ + count == share.size();
    if (announced) options.ready = [&](int64_t begin, int64_t) { reducer->Ready(begin); };
    loss_sum_ += state->model().ForwardBackward(batch, options);
    next_ += count;
  }
  if (!announced) reducer->Ready(0);
  return absl::OkStatus();
}

}  // namespace longrun::training
