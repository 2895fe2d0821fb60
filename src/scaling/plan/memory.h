// What one rank keeps in its accelerator's memory while it trains, and what serving keeps. Pure
// functions; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "scaling/plan/model.h"

namespace longrun::scaling {

// How a model is cut over accelerators. All counts at least 1.
struct Layout {
  enum class Sharding {
    kOptimizer,  // optimizer state cut over the data-parallel ranks (ZeRO stage 1)
    kAll,        // parameters and gradients too (ZeRO stage 3, FSDP)
  };
  int64_t data = 1;      // replicas
  int64_t tensor = 1;    // accelerators that share each matrix, and the sequence between them
  int64_t pipeline = 1;  // stages of layers
  int64_t chunks = 1;    // of layers, that a stage has: more than one are interleaved
  Sharding sharding = Sharding::kOptimizer;
  bool recompute = false;    // activations of each layer again in the backward pass
  int64_t microbatches = 1;  // a step takes, of one sequence each

  int64_t accelerators() const { return data * tensor * pipeline; }
  std::string Describe() const;  // "data 128 × tensor 8 × pipeline 16, optimizer sharded"
};

// Mixed-precision Adam (Rajbhandari et al. 2020, section 3.1): parameters in 2 bytes; gradients in
// 2, or 4 where they are summed in single precision; a single-precision copy and two moments, 12.
struct Precision {
  double parameter_bytes = 2;
  double gradient_bytes = 4;
  double optimizer_bytes = 12;

  double total() const { return parameter_bytes + gradient_bytes + optimizer_bytes; }
};

struct RankMemory {  // bytes
  double parameters = 0;
  double gradients = 0;
  double optimizer = 0;
  double activations = 0;

  double total() const { return parameters + gradients + optimizer + activations; }
};

// Bytes of activations that one layer keeps for one sequence of `context` tokens: what Korthikanti
// et al. 2022, section 4.1, counts as 34 · s · b · h, without dropout's masks (32). Attention
// scores are not kept (flash attention), nor is what a gate passed (a product, made again).
double LayerActivationBytes(const ModelShape& shape, int64_t context);

// Of the rank that needs most: a first stage, which holds as many micro-batches as there are
// stages, 1 + (p − 1)/(p·v) times that when interleaved (Narayanan et al. 2021, section 2.2;
// Korthikanti et al. 2022, section 4.2), and the logits.
RankMemory TrainingMemory(const ModelShape& shape, const Layout& layout, const Precision& precision,
                          int64_t context);

// Serving on `accelerators` that share the model: `weight_bytes` a parameter, keys and values in
// what is left.
struct ServingMemory {
  double weights_bytes = 0;          // a rank
  double kv_bytes_per_sequence = 0;  // of `context` tokens, over all ranks
  int64_t sequences = 0;             // of that length that fit at once
};
ServingMemory ServingMemoryOf(const ModelShape& shape, int64_t accelerators, double usable_bytes,
                              int64_t context);

}  // namespace longrun::scaling
