// Keys and values in blocks on a device. A "row" is the part of one kv head in one block,
// block · kv_heads + head: [block_tokens, head_dim]; gathering rows gives what a product of all
// heads wants without another turn. int8 has a scale for each token of a row.
//
// Owned and called by TorchExecutor, one thread at a time. All throw what libtorch throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <torch/torch.h>

#include "base/status.h"
#include "serving/execute/check_step.h"
#include "serving/execute/executor.h"

namespace longrun::serving {

class TorchCache {
 public:
  TorchCache() = default;
  // All zero. `size` has been checked.
  TorchCache(const ModelShape& shape, CacheSize size, KvType type, at::Device device);

  CacheSize size() const { return size_; }
  void Copy(BlockCopy copy);

  // `slots` [tokens · kv_heads]: row · block_tokens + token of each vector of `keys` and `values`
  // [tokens · kv_heads, head_dim], f32.
  void Put(int64_t layer, const at::Tensor& slots, const at::Tensor& keys,
           const at::Tensor& values);
  // [rows, block_tokens, head_dim] of f32, a copy of its own; `rows` is an int64 tensor.
  at::Tensor Keys(int64_t layer, const at::Tensor& rows) const;
  at::Tensor Values(int64_t layer, const at::Tensor& rows) const;

  // The bytes of whole blocks, in host memory.
  void Read(std::span<const BlockId> blocks, std::vector<std::byte>* to) const;
  // InvalidArgument where `from` is not what Read gave for as many blocks.
  absl::Status Write(std::span<const std::byte> from, std::span<const BlockId> blocks);

 private:
  struct Vectors {
    at::Tensor data;    // [layers, rows, block_tokens · head_dim]
    at::Tensor scales;  // int8: [layers, rows, block_tokens] of f32
  };

  Vectors Allocate(KvType type, at::Device device) const;
  void PutVectors(Vectors& to, int64_t layer, const at::Tensor& slots, const at::Tensor& x) const;
  at::Tensor Gather(const Vectors& from, int64_t layer, const at::Tensor& rows) const;
  std::vector<at::Tensor> Parts() const;
  at::Tensor RowsOf(std::span<const BlockId> blocks) const;

  int64_t layers_ = 0, kv_heads_ = 0, head_dim_ = 0;
  CacheSize size_;
  Vectors keys_, values_;
};

}  // namespace longrun::serving
