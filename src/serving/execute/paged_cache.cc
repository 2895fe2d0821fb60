#include "serving/execute/paged_cache.h"

#include <cstring>
#include <utility>

#include "serving/execute/check_step.h"

namespace longrun::serving {

absl::StatusOr<PagedCache> PagedCache::Allocate(const ModelShape& shape, int64_t blocks,
                                                int64_t block_tokens, KvType type) {
  LR_RETURN_IF_ERROR(CheckCacheSize(shape, {blocks, block_tokens}, type));
  const int64_t block_bytes = shape.KvBytesPerToken(type) * block_tokens;
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
