// Packs matrices out of the files' tensors on all threads, straight from the mapped pages: first
// told of every matrix (Add), then all are packed at once (Pack). Used by one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/safetensors.h"
#include "serving/execute/cpu_weights.h"
#include "serving/execute/tensor_source.h"

namespace longrun::serving {

// Rows of a weight that one tensor gives.
struct WeightPart {
  std::string name;
  const model::TensorView* view = nullptr;
  int64_t rows = 0;
  bool transposed = false;  // stored [k, rows], as GPT-2 does
  std::vector<float> bias;  // [rows], or empty
};

class WeightPacker {
 public:
  WeightPacker(const Kernels& kernels, WeightType type) : kernels_(kernels), type_(type) {}

  // The parts' rows follow each other; `in_turn`: two parts of as many rows whose rows alternate,
  // a vector of the one, a vector of the other. `to` stays where it is until Pack is done.
  void Add(LinearWeights* to, std::vector<WeightPart> parts, int64_t k, bool in_turn = false);
  // A tensor that is not packed, whose values are checked all the same.
  void AddChecked(const std::string& name, const model::TensorView* view);

  // ResourceExhausted where the memory is not there; InvalidArgument names a tensor of `source`
  // that holds a value which is not finite.
  absl::Status Pack(const TensorSource& source, ThreadPool& pool, MappedMemory* memory);

 private:
  struct Job {
    LinearWeights* to = nullptr;  // null: checked alone
    std::vector<WeightPart> parts;
    int64_t k = 0;
    bool in_turn = false;
    int64_t panels = 0;
    int64_t first_unit = 0;
    size_t pages_end = 0;  // of what is read ahead, all that it needs lies before
  };
  struct Place {
    const WeightPart* part = nullptr;  // null: padding
    int64_t row = 0;
  };

  Place PlaceOf(const Job& job, int64_t panel, int64_t column) const;
  // Columns of a panel as f32 [panel][k]; null, or the part that is not finite.
  const WeightPart* Fill(const Job& job, int64_t panel, float* columns) const;
  void PlaceBias(const Job& job) const;

  const Kernels& kernels_;
  const WeightType type_;
  std::vector<Job> jobs_;
};

}  // namespace longrun::serving
