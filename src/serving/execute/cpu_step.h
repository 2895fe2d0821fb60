// A step of the model on the CPU: buffers of activations and the way through the layers. Owned and
// called by CpuExecutor, one thread at a time.
//
// Sizes in comments: n rows (tokens of all slices), d d_model, f d_ff, q heads · head_dim, kv
// kv_heads · head_dim, v vocabulary. "Activations" are f32 for f32 weights and bf16 else.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "serving/execute/cpu_weights.h"
#include "serving/execute/executor.h"
#include "serving/execute/kernels.h"
#include "serving/execute/model_config.h"
#include "serving/execute/paged_cache.h"
#include "serving/execute/thread_pool.h"

namespace longrun::serving {

class CpuStep {
 public:
  // All outlive it.
  CpuStep(const ModelConfig& config, const CpuWeights& weights, WeightType type,
          const Kernels& kernels, ThreadPool& pool);

  // `slices` are valid for the model and the cache.
  StepOutput Run(std::span<const Slice> slices, const PagedCache& cache);

  // Of the buffers, for so many rows.
  int64_t BufferBytes(int64_t tokens, int64_t logits) const;

 private:
  struct Row {
    const Slice* slice = nullptr;
    int64_t position = 0;
  };
  // Tokens [begin, end) of a slice against one kv head.
  struct AttentionUnit {
    const Slice* slice = nullptr;
    int64_t begin = 0, end = 0;
    int64_t kv_head = 0;
    int64_t q_row = 0;    // of token `begin`, in qkv_
    int64_t out_row = 0;  // and in what follows
  };

  // Rows [first, first + tokens), tokens of one sequence in one block from `slot` on.
  struct BlockRun {
    int64_t first = 0;
    int64_t tokens = 0;
    BlockId block = 0;
    int64_t slot = 0;
  };

  void Plan(std::span<const Slice> slices, int64_t block_tokens);
  void PlanAttention(const Slice& slice, int64_t begin, int64_t q_row, int64_t out_row);
  void SortAttention();
  void Embed();
  void Project(const LayerWeights& layer, const CacheView& cache);
  void KeepAsked(std::span<const Slice> slices);
  void Attend(const LayerWeights& layer, const CacheView& cache);
  void Mlp(const LayerWeights& layer);
  StepOutput Finish(std::span<const Slice> slices);

  // activations_ [rows, d] = norm(x rows); and what Product wants of it.
  const void* NormAndPack(const NormWeights& norm, std::span<const float* const> rows);
  const void* Pack(const void* activations, int64_t rows, int64_t width);
  void Multiply(const LinearWeights& w, const void* packed, int64_t rows, After after, void* out,
                int64_t columns);
  void PlaceKeys(const CacheView& cache, const BlockRun& run);

  Norm NormOf(const NormWeights& norm) const;
  int64_t ActivationBytesOf(int64_t elements) const { return elements * (f32_ ? 4 : 2); }

  const ModelConfig& config_;
  const CpuWeights& weights_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  const bool f32_;
  const int64_t q_width_, kv_width_, qkv_width_;

  std::vector<Row> rows_;
  std::vector<AttentionUnit> units_;
  std::vector<BlockRun> runs_;
  std::vector<ProductPart> parts_;
  std::vector<const float*> row_pointers_;  // into x_: the rows that go on
  std::vector<const float*> asked_;         // those of the rows whose logits are asked for
  std::vector<float> x_;                    // [n, d]
  std::vector<float> turns_;                // [n, head_dim]: cosines, then sines
  std::vector<float> qkv_;                  // [n, q + 2 kv]
  std::vector<std::byte> activations_;      // [n, max(d, q)]
  std::vector<std::byte> inner_;            // [n, f]
  std::vector<std::byte> packed_;           // [n, max(d, q, f)]
  std::vector<float> scratch_;              // of attention, for each thread
  std::vector<float> logits_;               // [asked, v]
  std::vector<float> states_;               // [rows with states, d]
};

}  // namespace longrun::serving
