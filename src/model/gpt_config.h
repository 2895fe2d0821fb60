// The shape of a GPT-2 model, and what follows from it alone: parameter counts and FLOPs.
#pragma once

#include <cstdint>

#include "base/status.h"

namespace longrun::model {

struct GptConfig {
  int64_t layers = 6;
  int64_t heads = 6;
  int64_t d_model = 384;
  int64_t context = 256;  // the longest sequence; learned positions end there
  int64_t vocab_size = 65;
  double dropout = 0;
  bool bias = true;  // of linear layers and layer norms
  double layer_norm_epsilon = 1e-5;

  int64_t head_dim() const { return d_model / heads; }
  int64_t d_ff() const { return 4 * d_model; }

  // What cannot be a model: sizes that are not positive or absurd, heads that do not divide
  // d_model.
  absl::Status Validate() const;

  int64_t Parameters() const;  // the head is tied to wte and counts once
  int64_t ParametersWithoutEmbeddings() const;
  // Training FLOPs of a token, forward and backward: 6 N + attention 12·layers·d_model·context
  // (Kaplan et al. 2020, §2.1; PaLM, appendix B), with N all parameters but wpe: wte counts, as the
  // tied head multiplies by it. `causal` halves the attention: what a kernel that skips the masked
  // half computes.
  double FlopsPerToken(bool causal = false) const;

  bool operator==(const GptConfig&) const = default;
};

}  // namespace longrun::model
