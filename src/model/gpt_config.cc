#include "model/gpt_config.h"

#include <string>

namespace longrun::model {
namespace {

absl::Status CheckRange(const char* field, int64_t value, int64_t limit) {
  if (value >= 1 && value <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string("model.") + field + ": " + std::to_string(value) +
                                    " is out of range; 1 to " + std::to_string(limit) +
                                    " is right");
}

}  // namespace

absl::Status GptConfig::Validate() const {
  LR_RETURN_IF_ERROR(CheckRange("layers", layers, 1000));
  LR_RETURN_IF_ERROR(CheckRange("heads", heads, 1000));
  LR_RETURN_IF_ERROR(CheckRange("d_model", d_model, 1 << 17));
  LR_RETURN_IF_ERROR(CheckRange("context", context, 1 << 20));
  LR_RETURN_IF_ERROR(CheckRange("vocab_size", vocab_size, 1 << 24));
  if (d_model % heads != 0) {
    return absl::InvalidArgumentError("model.d_model: " + std::to_string(d_model) +
                                      " is not a multiple of the " + std::to_string(heads) +
                                      " heads");
  }
  if (!(dropout >= 0 && dropout < 1)) {
    return absl::InvalidArgumentError("model.dropout: " + std::to_string(dropout) +
                                      " is out of range; from 0 to below 1 is right");
  }
  if (!(layer_norm_epsilon > 0 && layer_norm_epsilon < 1)) {
    return absl::InvalidArgumentError(
        "model.layer_norm_epsilon: " + std::to_string(layer_norm_epsilon) +
        " is out of range; 1e-5 is usual");
  }
  return absl::OkStatus();
}

int64_t GptConfig::ParametersWithoutEmbeddings() const {
  const int64_t d = d_model;
  const int64_t matrices = 3 * d * d + d * d + 2 * d * d_ff();
  const int64_t biases = bias ? 3 * d + d + d_ff() + d : 0;
  const int64_t norm = bias ? 2 * d : d;
  return layers * (matrices + biases + 2 * norm) + norm;
}

int64_t GptConfig::Parameters() const {
  return ParametersWithoutEmbeddings() + (vocab_size + context) * d_model;
}

double GptConfig::FlopsPerToken(bool causal) const {
  const double n = static_cast<double>(Parameters() - context * d_model);
  const double attention = 12.0 * static_cast<double>(layers * d_model * context);
  return 6 * n + (causal ? attention / 2 : attention);
}

}  // namespace longrun::model
