// What an executor refuses before it writes anything, so that a wrong step ends nothing but itself.
// Pure.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "serving/execute/executor.h"

namespace longrun::serving {

// Of the cache that was allocated; blocks is 0 before.
struct CacheSize {
  int64_t blocks = 0;
  int64_t block_tokens = 0;
};

// InvalidArgument: block_tokens is no power of two from 8 to 1024, or so many blocks cannot be.
absl::Status CheckCacheSize(const ModelShape& shape, CacheSize size, KvType type);

// FailedPrecondition without a cache; InvalidArgument for blocks, tokens and positions that the
// cache or the model does not have.
absl::Status CheckStep(const StepInput& input, const ModelShape& shape, CacheSize cache);

}  // namespace longrun::serving
