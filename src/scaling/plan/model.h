// The transformer that a plan is about: its shape, parameters, FLOP and bytes per token. Plain
// values and pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace longrun::scaling {

struct ModelShape {
  int64_t layers = 0;
  int64_t width = 0;     // of the residual stream
  int64_t heads = 0;     // of queries; head_size · heads is the width of attention
  int64_t kv_heads = 0;  // at most heads; heads share them (Ainslie et al. 2023)
  int64_t head_size = 0;
  int64_t feed_forward = 0;  // inner width
  bool gated = false;        // three matrices in the feed-forward part, as SwiGLU has
  int64_t vocabulary = 0;
  bool tied = false;  // one matrix embeds and predicts

  double LayerParams() const;
  double EmbeddingParams() const;  // both matrices, or the one where they are tied
  double Params() const { return static_cast<double>(layers) * LayerParams() + EmbeddingParams(); }
};

// A shape of about `params` parameters: width = 128 · layers as GPT-3's and Llama 3's largest have,
// heads of 128 (64 where the width is below 1,024), at most 8 heads of keys and values, a plain
// feed-forward part of 4 · width, 12 · layers · width² in all but the embeddings (Kaplan et al.
// 2020, section 2.1). Widths are multiples of what splits over 8 accelerators where they are wide
// enough for that, and layers of what stages can share, so the count meets `params` within some
// percent; small models, which their embeddings dominate, come out larger. params ≥ 1e5.
ModelShape ShapeOf(double params, int64_t vocabulary);

// A shape from YAML: layers, width, heads, feed_forward, vocabulary, and optionally kv_heads
// (heads), head_size (width / heads), gated (false), tied (false). Unknown fields are mistakes.
absl::StatusOr<ModelShape> ParseModelShape(std::string_view text, const std::string& name);

// FLOP to train on one token: 6 · `params`, and attention's 12 · layers · heads · head_size ·
// context, halved because a token sees on average half of its context (Kaplan et al. 2020, table 1;
// Chowdhery et al. 2022, appendix B; causal).
double TrainingFlopPerToken(const ModelShape& shape, double params, int64_t context);
// FLOP to read or write one token: 2 · `params` + 2 · layers · context · width (Kaplan et al. 2020,
// table 1).
double InferenceFlopPerToken(const ModelShape& shape, double params, int64_t context);

// Bytes of keys and values that one token keeps, at `value_bytes` each: 2 · layers · kv_heads ·
// head_size · value_bytes (Kwon et al. 2023, section 2).
double KvBytesPerToken(const ModelShape& shape, int value_bytes);

}  // namespace longrun::scaling
