#include "serving/execute/tensor_source.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "serving/execute/weight_names.h"

namespace longrun::serving {

Convert ConvertFrom(const Kernels& kernels, model::DType dtype) {
  switch (dtype) {
    case model::DType::kF32:
      return kernels.from_f32;
    case model::DType::kF16:
      return kernels.from_f16;
    case model::DType::kBF16:
      return kernels.from_bf16;
    default:
      return nullptr;
  }
}

std::string TensorSource::NameInFile(const std::string& name) const {
  return files_.tensors().contains(prefix_ + name) ? prefix_ + name : name;
}

bool TensorSource::Has(const std::string& name) const {
  return files_.tensors().contains(NameInFile(name));
}

absl::Status TensorSource::Fail(const std::string& name, const std::string& what) const {
  return absl::InvalidArgumentError(
      fmt::format("{}: tensor '{}' {}", files_.path(), NameInFile(name), what));
}

absl::StatusOr<const model::TensorView*> TensorSource::Get(const std::string& name,
                                                           const std::vector<int64_t>& shape) {
  const auto it = files_.tensors().find(NameInFile(name));
  if (it == files_.tensors().end()) {
    return absl::NotFoundError(fmt::format("{}: tensor '{}' [{}] is missing", files_.path(),
                                           prefix_ + name, fmt::join(shape, ", ")));
  }
  const model::TensorView& view = it->second;
  if (view.shape != shape) {
    return Fail(name, fmt::format("has shape [{}]; [{}] is right by config.json",
                                  fmt::join(view.shape, ", "), fmt::join(shape, ", ")));
  }
  if (ConvertFrom(kernels_, view.dtype) == nullptr) {
    return Fail(name, fmt::format("is {}; F32, F16 or BF16 is right", model::NameOf(view.dtype)));
  }
  used_.insert(it->first);
  return &view;
}

absl::StatusOr<std::vector<float>> TensorSource::Vector(const std::string& name, int64_t n) {
  LR_ASSIGN_OR_RETURN(const model::TensorView* view, Get(name, {n}));
  std::vector<float> values(static_cast<size_t>(n));
  if (!ConvertFrom(kernels_, view->dtype)(view->bytes.data(), values.data(), n)) {
    return Fail(name, kNotFinite);
  }
  return values;
}

absl::StatusOr<std::vector<float>> TensorSource::Bias(const std::string& name, int64_t n,
                                                      bool wanted) {
  if (!wanted && !Has(name)) return std::vector<float>();
  LR_ASSIGN_OR_RETURN(std::vector<float> bias, Vector(name, n));
  if (wanted) return bias;
  if (std::any_of(bias.begin(), bias.end(), [](float b) { return b != 0; })) {
    return Fail(name, kNotZero);
  }
  return std::vector<float>();
}

absl::StatusOr<const model::TensorView*> TensorSource::Head(const ModelConfig& config) {
  const std::vector<int64_t> shape = {config.vocab_size, config.d_model};
  const std::string own = "lm_head.weight";
  if (!config.tied_head) return Get(own, shape);
  const std::string tokens = EndNames(config).tokens;
  LR_ASSIGN_OR_RETURN(const model::TensorView* view, Get(tokens, shape));
  if (Has(own)) {
    LR_ASSIGN_OR_RETURN(const model::TensorView* other, Get(own, shape));
    if (other->dtype != view->dtype ||
        std::memcmp(other->bytes.data(), view->bytes.data(), view->bytes.size()) != 0) {
      return Fail(own, "differs from '" + tokens + "', but config.json says tie_word_embeddings");
    }
  }
  return view;
}

absl::Status TensorSource::CheckAllUsed(const std::vector<std::string>& ignored) const {
  for (const auto& tensor : files_.tensors()) {
    const std::string& name = tensor.first;
    const bool known = used_.contains(name) ||
                       std::any_of(ignored.begin(), ignored.end(),
                                   [&](const std::string& end) { return name.ends_with(end); });
    if (!known) {
      return absl::InvalidArgumentError(
          fmt::format("{}: tensor '{}' is not part of the model that config.json tells of",
                      files_.path(), name));
    }
  }
  return absl::OkStatus();
}

}  // namespace longrun::serving
