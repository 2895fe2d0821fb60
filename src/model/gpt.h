// GPT-2 (Radford et al. 2019): pre-LN blocks, learned positions, tanh GELU, head tied to wte.
//
// Forward and backward are written out by hand (no autograd), so that a training step allocates
// little, gradients land in place in one flat buffer, and the backward pass can announce each slice
// of it as soon as it is final. One thread at a time may call a Gpt; work inside is spread over
// at::get_num_threads() threads. For a fixed number of threads the results are bitwise repeatable.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <torch/torch.h>

#include "base/status.h"
#include "model/flat_parameters.h"
#include "model/gpt_config.h"
#include "model/ops.h"

namespace longrun::model {

// What the matrix products compute in. Parameters, gradients, sums and the optimizer are f32
// always.
enum class Precision { kF32, kBf16 };

// Called during the backward pass, on the calling thread, with gradients [begin, end) of the flat
// buffer final. Slices come from the buffer's end to its start, without gap or overlap, and cover
// it: first the final norm, then the layers from last to first, then the embeddings (wte last,
// since the head is tied to it). On CUDA "final" means in order on the current stream.
using GradientReady = std::function<void(int64_t begin, int64_t end)>;

struct BackwardOptions {
  // The loss is multiplied by this before the backward pass: 1 / (tokens of the global batch) gives
  // gradients that sum over micro-batches and ranks to those of the mean.
  double loss_scale = 1;
  // false: gradients are overwritten (no zeroing needed) and parameters are read anew.
  // true: a further micro-batch of the same step; gradients are added to what is there.
  bool accumulate = false;
  // Set on the last micro-batch of a step alone.
  GradientReady ready = {};
  // A function of (run seed, step, sequence) for a step run again to drop the same units.
  uint64_t dropout_seed = 0;
};

// Keys and values of the tokens so far, for generation. Belongs to one sequence.
struct KvCache {
  std::vector<at::Tensor> keys, values;  // per layer [heads, context, head_dim] f32
  int64_t length = 0;                    // tokens in the cache
};

class Gpt {
 public:
  // Initial parameters as GPT-2's: N(0, 0.02), residual projections N(0, 0.02 / sqrt(2 layers)),
  // biases 0, norms 1; a function of (config, seed) alone, whatever the device and the threads.
  // `config` must be valid.
  // `ops`: how to compute; by default what suits the device (ops.h).
  Gpt(const GptConfig& config, at::Device device, uint64_t seed,
      Precision precision = Precision::kF32, std::unique_ptr<Ops> ops = nullptr);
  ~Gpt();
  Gpt(const Gpt&) = delete;
  Gpt& operator=(const Gpt&) = delete;

  const GptConfig& config() const { return config_; }
  Precision precision() const { return precision_; }
  void set_precision(Precision precision) { precision_ = precision; }
  FlatParameters& flat() { return flat_; }
  const FlatParameters& flat() const { return flat_; }

  // tokens: [B, T+1] int64 (CPU or the model's device), T <= context, each in [0, vocab_size).
  // Returns the cross-entropy summed over the B·T predictions, in nats, unscaled.
  double ForwardBackward(const at::Tensor& tokens, const BackwardOptions& options);
  // The same sum without gradients or dropout.
  double Evaluate(const at::Tensor& tokens);
  // Logits [B, T, vocab_size] f32 of tokens [B, T]; no dropout.
  at::Tensor Logits(const at::Tensor& tokens);
  // Logits [vocab_size] f32 (CPU) after `tokens` ([n] int64), which are appended to the cache. A
  // cache of length 0 is made ready here. cache->length + n <= context.
  at::Tensor Extend(const at::Tensor& tokens, KvCache* cache);

 private:
  struct Activations;
  struct Weights;
  // Runs the model up to the logits; dropout_seed is used where `training`.
  void Forward(const at::Tensor& inputs, bool training, uint64_t dropout_seed);
  void Backward(const at::Tensor& inputs, const BackwardOptions& options);

  const GptConfig config_;
  Precision precision_;
  FlatParameters flat_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Weights> weights_;          // views into flat_, and the bf16 copy
  std::unique_ptr<Activations> activations_;  // buffers, kept from step to step
};

}  // namespace longrun::model
