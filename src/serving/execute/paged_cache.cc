#include "serving/execute/paged_cache.h"

#include <cstring>
#include <limits>
#include <string>
#include <utility>

namespace longrun::serving {

absl::StatusOr<PagedCache> PagedCache::Allocate(const ModelShape& shape, int64_t blocks,
                                                int64_t block_tokens, KvType type) {
  if (block_tokens < 8 || block_tokens > 1024 || (block_tokens & (block_tokens - 1)) != 0) {
    return absl::InvalidArgumentError("a block of " + std::to_string(block_tokens) +
                                      " tokens; a power of two from 8 to 1024 is right");
  }
  const int64_t block_bytes = shape.KvBytesPerToken(type) * block_tokens;
  if (blocks < 1 || blocks > std::numeric_limits<BlockId>::max() ||
      blocks > std::numeric_limits<int64_t>::max() / block_bytes) {
    return absl::InvalidArgumentError(std::to_string(blocks) + " blocks are no cache");
  }
  PagedCache cache;
  LR_ASSIGN_OR_RETURN(cache.memory_,
                      MappedMemory::Allocate(blocks * block_bytes, "the cache of keys and values"));
  cache.blocks_ = blocks;
  cache.layer_bytes_ = block_bytes / shape.layers;
  cache.view_ = {.type = type,
                 .base = cache.memory_.data(),
                 .block_bytes = block_bytes,
                 .head_bytes = cache.layer_bytes_ / shape.kv_heads,
                 .block_tokens = block_tokens,
                 .head_dim = shape.head_dim};
  return cache;
}

CacheView PagedCache::Layer(int64_t layer) const {
  CacheView view = view_;
  view.base += layer * layer_bytes_;
  return view;
}

void PagedCache::Copy(BlockCopy copy) {
  std::memmove(view_.base + copy.to * view_.block_bytes, view_.base + copy.from * view_.block_bytes,
               static_cast<size_t>(view_.block_bytes));
}

}  // namespace longrun::serving
