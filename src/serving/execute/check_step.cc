#include "serving/execute/check_step.h"

#include <fmt/core.h>

#include <limits>

namespace longrun::serving {
namespace {

absl::Status CheckBlock(BlockId block, CacheSize cache) {
  if (block >= 0 && block < cache.blocks) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("block {} of a cache of {}", block, cache.blocks));
}

absl::Status CheckSlice(const Slice& slice, const ModelShape& shape, CacheSize cache) {
  const int64_t n = static_cast<int64_t>(slice.tokens.size());
  const int64_t end = slice.position + n;
  if (n < 1 || slice.position < 0 || end > shape.context) {
    return absl::InvalidArgumentError(
        fmt::format("tokens {} to {} of a sequence; the model's context is {}", slice.position, end,
                    shape.context));
  }
  if (slice.logits < 0 || slice.logits > n) {
    return absl::InvalidArgumentError(fmt::format("logits of {} of {} tokens", slice.logits, n));
  }
  const int64_t needed = (end + cache.block_tokens - 1) / cache.block_tokens;
  if (static_cast<int64_t>(slice.blocks.size()) < needed) {
    return absl::InvalidArgumentError(
        fmt::format("{} tokens in {} blocks of {}", end, slice.blocks.size(), cache.block_tokens));
  }
  for (int64_t i = 0; i < needed; ++i) {
    LR_RETURN_IF_ERROR(CheckBlock(slice.blocks[static_cast<size_t>(i)], cache));
  }
  for (const model::TokenId token : slice.tokens) {
    if (token >= 0 && token < shape.vocab_size) continue;
    return absl::InvalidArgumentError(
        fmt::format("token {} of a vocabulary of {}", token, shape.vocab_size));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCacheSize(const ModelShape& shape, CacheSize size, KvType type) {
  const int64_t tokens = size.block_tokens;
  if (tokens < 8 || tokens > 1024 || (tokens & (tokens - 1)) != 0) {
    return absl::InvalidArgumentError(
        fmt::format("a block of {} tokens; a power of two from 8 to 1024 is right", tokens));
  }
  const int64_t block_bytes = shape.KvBytesPerToken(type) * tokens;
  if (size.blocks < 1 || size.blocks > std::numeric_limits<BlockId>::max() ||
      size.blocks > std::numeric_limits<int64_t>::max() / block_bytes) {
    return absl::InvalidArgumentError(fmt::format("{} blocks are no cache", size.blocks));
  }
  return absl::OkStatus();
}

absl::Status CheckStep(const StepInput& input, const ModelShape& shape, CacheSize cache) {
  if (cache.blocks == 0) return absl::FailedPreconditionError("no cache is allocated");
  for (const BlockCopy& copy : input.copies) {
    LR_RETURN_IF_ERROR(CheckBlock(copy.from, cache));
    LR_RETURN_IF_ERROR(CheckBlock(copy.to, cache));
  }
  for (const Slice& slice : input.slices) LR_RETURN_IF_ERROR(CheckSlice(slice, shape, cache));
  return absl::OkStatus();
}

}  // namespace longrun::serving
