// The tensors of a model's files, asked for by name and shape, so that what is missing, misshapen,
// left over or not finite is told by name. Used by one thread while loading.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/safetensors.h"
#include "serving/execute/kernels.h"
#include "serving/execute/model_config.h"

namespace longrun::serving {

// From the stored type to f32; null for a type that weights do not have.
using Convert = bool (*)(const void* from, float* to, int64_t n);
Convert ConvertFrom(const Kernels& kernels, model::DType dtype);

// What is said of a tensor's values.
inline constexpr char kNotFinite[] = "holds a value that is not finite";
inline constexpr char kNotZero[] = "is not zero, but config.json says that there are no biases";

class TensorSource {
 public:
  // `prefix`: may stand before every name ("transformer.").
  TensorSource(const model::SafetensorsModel& files, const Kernels& kernels, std::string prefix)
      : files_(files), kernels_(kernels), prefix_(std::move(prefix)) {}

  bool Has(const std::string& name) const;
  // Of F32, F16 or BF16, and of this shape; counted as used.
  absl::StatusOr<const model::TensorView*> Get(const std::string& name,
                                               const std::vector<int64_t>& shape);
  absl::StatusOr<std::vector<float>> Vector(const std::string& name, int64_t n);
  // A bias that config.json denies may lie in the file as zeros, for other readers' sake: empty
  // then.
  absl::StatusOr<std::vector<float>> Bias(const std::string& name, int64_t n, bool wanted);
  // [vocab_size, d_model]. Where it is tied, a copy of its own that the file holds must be the
  // same.
  absl::StatusOr<const model::TensorView*> Head(const ModelConfig& config);
  // Every tensor must have been used, or end in one of `ignored`.
  absl::Status CheckAllUsed(const std::vector<std::string>& ignored) const;

  absl::Status Fail(const std::string& name, const std::string& what) const;

 private:
  std::string NameInFile(const std::string& name) const;

  const model::SafetensorsModel& files_;
  const Kernels& kernels_;
  const std::string prefix_;
  std::set<std::string> used_;
};

}  // namespace longrun::serving
