// Packs matrices out of the files' tensors on all threads, straight from the mapped pages: first
// told of every tensor (Add…), then all are read at once (Pack), in the order in which they lie in
// the files: until then none of their pages is touched. Used by one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
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
  std::string bias_name;
  const model::TensorView* bias = nullptr;  // [rows], or null
};

class WeightPacker {
 public:
  WeightPacker(const Kernels& kernels, WeightType type) : kernels_(kernels), type_(type) {}

  // The parts' rows follow each other; `in_turn`: two parts of as many rows whose rows alternate,
  // a vector of the one, a vector of the other. `to` stays where it is until Pack is done.
  void Add(LinearWeights* to, std::vector<WeightPart> parts, int64_t k, bool in_turn = false);
  // As f32; `to` likewise.
  void AddVector(const std::string& name, const model::TensorView* view, std::vector<float>* to);
  // Tensors that are not packed: one whose values are checked all the same, one that has to be 0.
  void AddChecked(const std::string& name, const model::TensorView* view);
  void AddZeros(const std::string& name, const model::TensorView* view);

  // ResourceExhausted where the memory is not there; InvalidArgument names a tensor of `source`
  // that holds a value which is not finite, or not 0 where it has to be.
  absl::Status Pack(const TensorSource& source, ThreadPool& pool, MappedMemory* memory);

 private:
  struct Job {
    LinearWeights* to = nullptr;  // null: of `parts` there is one, which is not packed
    std::vector<float>* vector = nullptr;
    bool zeros = false;
    std::vector<WeightPart> parts;
    int64_t k = 0;
    bool in_turn = false;
    int64_t panels = 0;  // or pieces
    int64_t first_unit = 0;
    size_t first_page = 0, pages_end = 0;  // of what is read ahead, what it needs
  };
  struct Problem {
    std::string name, what;
  };
  struct Place {
    const WeightPart* part = nullptr;  // null: padding
    int64_t row = 0;
  };

  Place PlaceOf(const Job& job, int64_t panel, int64_t column) const;
  void AddWhole(const std::string& name, const model::TensorView* view, Job job);
  absl::Status Lay(MappedMemory* memory);
  std::vector<std::span<const std::byte>> InOrderOfFiles();
  // One unit of a job; `buffer` holds any panel or piece.
  std::optional<Problem> Run(const Job& job, int64_t unit, float* buffer) const;
  std::optional<Problem> RunPiece(const Job& job, int64_t piece, float* buffer) const;
  // How much of what is read ahead a unit needs.
  size_t PagesOf(const Job& job, int64_t unit) const;
  // The one part that a panel's columns are neighbours in, step by step as it wants them; or null.
  const WeightPart* InSteps(const Job& job, int64_t panel) const;
  std::optional<Problem> CopySteps(const Job& job, int64_t panel, const WeightPart& part) const;
  // Columns of a panel as f32 [panel][k].
  std::optional<Problem> Fill(const Job& job, int64_t panel, float* columns) const;
  std::optional<Problem> PlaceBias(const Job& job) const;

  const Kernels& kernels_;
  const WeightType type_;
  std::vector<Job> jobs_;
};

}  // namespace longrun::serving
