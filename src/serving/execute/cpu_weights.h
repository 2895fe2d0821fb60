// A model's weights as the CPU's kernels want them: matrices packed while the files are read, by
// all threads. The rows of the token embedding are looked up in the mapped files themselves, whose
// pages the system may drop and read again. Read-only once loaded; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/safetensors.h"
#include "serving/execute/kernels.h"
#include "serving/execute/mapped_memory.h"
#include "serving/execute/model_config.h"
#include "serving/execute/thread_pool.h"

namespace longrun::serving {

struct NormWeights {
  std::vector<float> gamma;
  std::vector<float> beta;  // empty: none
};

struct LinearWeights {
  PackedMatrix matrix;
  std::vector<float> bias;    // in the packed order; empty: none
  std::vector<float> scales;  // of int8
};

struct LayerWeights {
  NormWeights attention_norm;
  LinearWeights qkv;  // queries of all heads, keys, values
  LinearWeights out;
  NormWeights mlp_norm;
  LinearWeights up;  // Llama: gate and up in turn, as After::kSwiGlu has them
  LinearWeights down;
};

struct EmbeddingTable {
  bool (*convert)(const void* from, float* to, int64_t n) = nullptr;
  const std::byte* rows = nullptr;
  int64_t row_bytes = 0;
  int64_t width = 0;

  void Row(int64_t row, float* to) const { convert(rows + row * row_bytes, to, width); }
};

struct CpuWeights {
  std::vector<LayerWeights> layers;
  NormWeights last_norm;
  LinearWeights head;
  EmbeddingTable tokens;
  EmbeddingTable positions;  // GPT-2 alone
  int64_t parameters = 0;
  int64_t packed_bytes = 0;

  MappedMemory memory;
  std::unique_ptr<model::SafetensorsModel> files;
};

// What the files of `model` would best be held as: f32 where they hold f32, else bf16.
WeightType TypeOfFiles(const model::SafetensorsModel& model);

// Names with or without "transformer." and "model.". Errors name the folder and the tensor:
// NotFound for one that is missing; InvalidArgument for one of another shape or type, one that the
// model does not have, and values that are not finite.
absl::StatusOr<std::unique_ptr<CpuWeights>> LoadCpuWeights(
    std::unique_ptr<model::SafetensorsModel> files, const ModelConfig& config, WeightType type,
    const Kernels& kernels, ThreadPool& pool);

}  // namespace longrun::serving
