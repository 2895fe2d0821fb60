// Keys and values in blocks of tokens. A block holds all layers, so that copying one is copying
// bytes. Written and read through kernels.h; one thread at a time copies.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "serving/execute/executor.h"
#include "serving/execute/kernels.h"
#include "serving/execute/mapped_memory.h"

namespace longrun::serving {

class PagedCache {
 public:
  PagedCache() = default;
  // InvalidArgument: block_tokens is no power of two from 8 to 1024, or blocks < 1.
  static absl::StatusOr<PagedCache> Allocate(const ModelShape& shape, int64_t blocks,
                                             int64_t block_tokens, KvType type);

  int64_t blocks() const { return blocks_; }
  int64_t block_tokens() const { return view_.block_tokens; }
  CacheView Layer(int64_t layer) const;
  void Copy(BlockCopy copy);

 private:
  CacheView view_;  // of layer 0
  int64_t blocks_ = 0;
  int64_t layer_bytes_ = 0;
  MappedMemory memory_;
};

}  // namespace longrun::serving
