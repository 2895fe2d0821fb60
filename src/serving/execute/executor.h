// The arithmetic of a step: token ids in, logits out, keys and values kept in paged blocks. The one
// seam between what is scheduled and what computes: CpuExecutor (own loops), TorchExecutor (any
// device of libtorch) and, in tests, an executor on virtual time.
//
// One thread at a time calls an executor. A row's result depends on its own sequence's tokens
// alone: not on the others in the step, on how the prompt was cut into chunks, nor on which blocks
// hold it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/status.h"
#include "model/tokenizer.h"

namespace longrun::serving {

using BlockId = int32_t;

enum class KvType { kF32, kBF16, kInt8 };

struct Slice;

// What the scheduler and the memory plan need to know of a model.
struct ModelShape {
  std::string family;  // "gpt2", "llama"
  int64_t layers = 0;
  int64_t d_model = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t d_ff = 0;
  int64_t vocab_size = 0;
  int64_t context = 0;  // the longest sequence

  int64_t parameters = 0;    // all
  bool f32_weights = false;  // those of the products; else in bf16, f16 or int8
  int64_t weight_bytes = 0;  // as held in memory
  // Weights read for every step, whatever the batch: all but embedding rows that are looked up.
  int64_t weight_bytes_per_step = 0;
  // Multiplications and additions of a token in products of weights: up to the last layer's keys
  // and values; from there on, for tokens whose logits or states are asked for; through the head,
  // for logits.
  double flops_per_token = 0;
  double flops_of_end = 0;
  double flops_of_head = 0;

  // Multiplications and additions that a slice needs, attention's among them.
  double Flops(const Slice& slice) const;
  // Both keys and values of one token in all layers (scales of int8 included).
  int64_t KvBytesPerToken(KvType type) const;
};

// One sequence's part of a step.
struct Slice {
  std::span<const model::TokenId> tokens;  // new ones, at least 1
  int64_t position = 0;             // of tokens[0]; the keys of [0, position) are in `blocks`
  std::span<const BlockId> blocks;  // the sequence's table: covers position + tokens.size() tokens
  int64_t logits = 0;   // of how many of the last tokens: 0 in the midst of a prompt, 1, or more
  bool states = false;  // also the normed states of the last layer, of all tokens
};

struct BlockCopy {
  BlockId from = 0;
  BlockId to = 0;
};

struct StepInput {
  std::vector<BlockCopy> copies;  // done first, in order
  std::vector<Slice> slices;      // each sequence at most once
};

// Valid until the next Run.
struct StepOutput {
  std::span<const float> logits;  // [sum of Slice::logits, vocab_size], in the order of the slices
  std::span<const float> states;  // [sum of tokens of slices with `states`, d_model]
};

class Executor {
 public:
  virtual ~Executor() = default;
  virtual const ModelShape& shape() const = 0;

  // Room for `blocks` blocks of `block_tokens` tokens; once, before the first Run.
  // ResourceExhausted where the memory is not there.
  virtual absl::Status AllocateCache(int64_t blocks, int64_t block_tokens, KvType type) = 0;
  // Bytes that a step of so many tokens needs beside weights and cache.
  virtual int64_t ActivationBytes(int64_t tokens, int64_t logits) const = 0;

  virtual absl::StatusOr<StepOutput> Run(const StepInput& input) = 0;

  // Calls work(unit) once for each unit below `units`, on the threads that compute where there are
  // any: between steps they are free for what else is to be done with the logits.
  virtual void ForEach(int64_t units, absl::FunctionRef<void(int64_t unit)> work) {
    for (int64_t unit = 0; unit < units; ++unit) work(unit);
  }

  // Blocks to host memory and back, for preemption by swapping. Where the cache lies in host memory
  // already, `swaps()` is false and neither is called.
  virtual bool swaps() const { return false; }
  virtual absl::Status SwapOut(std::span<const BlockId> blocks, std::vector<std::byte>* to) {
    return absl::UnimplementedError("this device's cache lies in host memory");
  }
  virtual absl::Status SwapIn(std::span<const std::byte> from, std::span<const BlockId> blocks) {
    return absl::UnimplementedError("this device's cache lies in host memory");
  }
};

}  // namespace longrun::serving
