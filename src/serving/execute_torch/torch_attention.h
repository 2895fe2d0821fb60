// Attention of a step's rows to the keys of their own sequences, gathered from the paged cache.
// Sequences with the same few new tokens and about as many keys go together, padded to the longest;
// a long chunk goes by itself, some of its queries at a time, and sees no padding. Pure but for the
// cache that is read; throws what libtorch throws.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <torch/torch.h>

#include "serving/execute/executor.h"
#include "serving/execute_torch/device_numbers.h"
#include "serving/execute_torch/torch_cache.h"

namespace longrun::serving {

struct AttentionSizes {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  // Elements that one product's scores and the keys gathered for it have at most (but for a single
  // query, whatever its length): what keeps to the caches of a CPU, or keeps a GPU busy.
  int64_t most_scores = 0, most_keys = 0;

  int64_t group() const { return heads / kv_heads; }
};

struct AttentionGroup {
  int64_t sequences = 0;
  int64_t rows = 0;    // new tokens of each sequence
  int64_t keys = 0;    // of the longest
  int64_t first = 0;   // the first sequence's first row of the step
  at::Tensor at;       // [sequences · rows]: rows of the step
  at::Tensor gather;   // [sequences · kv_heads · blocks]: rows of the cache
  at::Tensor padding;  // of the gathered vectors: those past a sequence's end
  at::Tensor mask;     // [sequences, 1, rows, keys] of 0 and -inf; undefined for one sequence
};

// A group whose numbers are still on their way to the device.
struct AttentionPlan {
  int64_t sequences = 0, rows = 0, keys = 0, first = 0;
  DeviceNumbers::Range at, gather, padding, positions;

  AttentionGroup OnDevice(const DeviceNumbers& numbers) const;
};

std::vector<AttentionPlan> PlanAttention(std::span<const Slice> slices, const AttentionSizes& sizes,
                                         int64_t block_tokens, DeviceNumbers* numbers);

// `queries` [n, heads, head_dim], scaled already; writes the group's rows of `out`
// [n, heads · head_dim].
void Attend(const AttentionGroup& group, const AttentionSizes& sizes, const TorchCache& cache,
            int64_t layer, const at::Tensor& queries, at::Tensor out);

}  // namespace longrun::serving
