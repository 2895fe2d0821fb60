#include "scaling/plan/memory.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace longrun::scaling {
namespace {

constexpr int kServedBytes = 2;  // of a weight, a key, a value: bf16

int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

double ActivationBytes(const ModelShape& shape, const Layout& layout, int64_t context) {
  const double layer = LayerActivationBytes(shape, context);
  const int64_t layers = CeilDivide(shape.layers, layout.pipeline);
  const double stages = static_cast<double>(layout.pipeline);
  const double begun = layout.chunks > 1 ? stages + (stages - 1) / layout.chunks : stages;
  const double kept =
      std::min(begun, static_cast<double>(layout.microbatches)) * static_cast<double>(layers);
  // Recomputing keeps each layer's input, 2 bytes a value, and one layer while it is worked on.
  const double inputs = 2.0 * static_cast<double>(context) * static_cast<double>(shape.width);
  const double all = layout.recompute ? kept * inputs + layer : kept * layer;
  // The last stage's single-precision logits and their input (Korthikanti et al. 2022,
  // section 4.3).
  const double logits =
      4.0 * static_cast<double>(context) * static_cast<double>(shape.width + shape.vocabulary);
  return (all + logits) / static_cast<double>(layout.tensor);
}

}  // namespace

std::string Layout::Describe() const {
  return absl::StrCat("data ", data, " × tensor ", tensor, " × pipeline ", pipeline, ", ",
                      sharding == Sharding::kAll ? "all state sharded" : "optimizer sharded",
                      recompute ? ", activations recomputed" : "");
}

double LayerActivationBytes(const ModelShape& shape, int64_t context) {
  // 2 bytes each: both norms' inputs and outputs; queries and what attention made of them; keys and
  // values; the feed-forward part's two inner values.
  const double attention = 4.0 * shape.head_size * (shape.heads + shape.kv_heads);
  return static_cast<double>(context) * (8.0 * shape.width + attention + 4.0 * shape.feed_forward);
}

RankMemory TrainingMemory(const ModelShape& shape, const Layout& layout, const Precision& precision,
                          int64_t context) {
  const double layer = shape.LayerParams() / static_cast<double>(layout.tensor);
  const double embedding = shape.EmbeddingParams() / static_cast<double>(layout.tensor);
  const int64_t layers = CeilDivide(shape.layers, layout.pipeline);
  // Input and output embeddings lie in different stages where there are several.
  const double params = static_cast<double>(layers) * layer +
                        (layout.pipeline > 1 && !shape.tied ? embedding / 2 : embedding);
  const double replicas = static_cast<double>(layout.data);
  RankMemory memory;
  memory.optimizer = precision.optimizer_bytes * params / replicas;
  if (layout.sharding == Layout::Sharding::kAll) {
    // Besides its shard a rank holds the layer at work and the next one, gathered, and the
    // gradient of one.
    memory.parameters = precision.parameter_bytes * (params / replicas + 2 * layer);
    memory.gradients = precision.gradient_bytes * (params / replicas + layer);
    if (layout.data == 1) {
      memory.parameters = precision.parameter_bytes * params;
      memory.gradients = precision.gradient_bytes * params;
    }
  } else {
    memory.parameters = precision.parameter_bytes * params;
    memory.gradients = precision.gradient_bytes * params;
  }
  memory.activations = ActivationBytes(shape, layout, context);
  return memory;
}

ServingMemory ServingMemoryOf(const ModelShape& shape, int64_t accelerators, double usable_bytes,
                              int64_t context) {
  ServingMemory memory;
  const double ranks = static_cast<double>(accelerators);
  memory.weights_bytes = kServedBytes * shape.Params() / ranks;
  memory.kv_bytes_per_sequence =
      KvBytesPerToken(shape, kServedBytes) * static_cast<double>(context);
  const double left = (usable_bytes - memory.weights_bytes) * ranks;
  memory.sequences =
      left <= 0 ? 0 : static_cast<int64_t>(std::floor(left / memory.kv_bytes_per_sequence));
  return memory;
}

}  // namespace longrun::scaling
