#include "scaling/plan/model.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/strict_yaml.h"

namespace longrun::scaling {
namespace {

constexpr int64_t kMost = 1'000'000'000;

// Widths go in steps: whole heads, and groups of heads that tensor parallelism can split.
int64_t WidthStep(double width) {
  if (width >= 4096) return 1024;
  if (width >= 2048) return 512;
  if (width >= 512) return 128;
  return 64;
}

}  // namespace

double ModelShape::LayerParams() const {
  const double attention = 2.0 * width * head_size * (heads + kv_heads);
  return attention + (gated ? 3.0 : 2.0) * width * feed_forward;
}

double ModelShape::EmbeddingParams() const { return (tied ? 1.0 : 2.0) * vocabulary * width; }

ModelShape ShapeOf(double params, int64_t vocabulary) {
  LR_CHECK_GE(params, 1e5);
  const double aspect = 128;
  // 12 · width³ / aspect + 2 · vocabulary · width = params, by Newton from above.
  double width = std::cbrt(params * aspect / 12);
  for (int i = 0; i < 50; ++i) {
    const double value = 12 * width * width * width / aspect + 2.0 * vocabulary * width - params;
    width -= value / (36 * width * width / aspect + 2.0 * vocabulary);
  }
  const int64_t step = WidthStep(width);
  ModelShape shape;
  shape.width = std::max<int64_t>(1, std::llround(width / step)) * step;
  shape.head_size = shape.width < 1024 ? 64 : 128;
  shape.heads = shape.width / shape.head_size;
  shape.kv_heads = shape.heads % 8 == 0 ? 8 : shape.heads;
  shape.feed_forward = 4 * shape.width;
  shape.vocabulary = vocabulary;
  // Small models are mostly embeddings, which are shared then.
  shape.tied = 2.0 * vocabulary * shape.width > params / 2;
  // What sharing keys and values saves goes into the feed-forward part: 12 · width² a layer.
  shape.feed_forward += (shape.heads - shape.kv_heads) * shape.head_size;
  const double blocks = params - shape.EmbeddingParams();
  const int64_t layers = std::max<int64_t>(1, std::llround(blocks / shape.LayerParams()));
  // Layers that stages can share evenly.
  const int64_t even = layers >= 32 ? 4 : 1;
  shape.layers = (layers + even / 2) / even * even;
  return shape;
}

absl::StatusOr<ModelShape> ParseModelShape(std::string_view text, const std::string& name) {
  LR_ASSIGN_OR_RETURN(const YamlNode root, ParseYaml(text, name));
  YamlErrors errors(name);
  YamlMap map(root, "", &errors);
  const auto count = [&map](const char* key) -> int64_t {
    if (!map.Has(key)) map.Error(key, "is missing; a count is right");
    return map.Int(key, 1, 1, kMost);
  };
  ModelShape shape;
  shape.layers = count("layers");
  shape.width = count("width");
  shape.heads = count("heads");
  shape.feed_forward = count("feed_forward");
  shape.vocabulary = count("vocabulary");
  shape.kv_heads = map.Int("kv_heads", shape.heads, 1, kMost);
  shape.head_size = map.Int("head_size", std::max<int64_t>(1, shape.width / shape.heads), 1, kMost);
  shape.gated = map.Bool("gated", false);
  shape.tied = map.Bool("tied", false);
  if (shape.kv_heads > shape.heads || shape.heads % shape.kv_heads != 0) {
    map.Error("kv_heads",
              absl::StrCat(shape.kv_heads, " does not divide the ", shape.heads, " of heads"));
  }
  if (!map.Has("head_size") && shape.width % shape.heads != 0) {
    map.Error("width", absl::StrCat(shape.width, " is no multiple of the ", shape.heads,
                                    " of heads; give head_size where they are not to fill it"));
  }
  map.Done();
  LR_RETURN_IF_ERROR(errors.ToStatus());
  return shape;
}

double TrainingFlopPerToken(const ModelShape& shape, double params, int64_t context) {
  const double attention = 12.0 * shape.layers * shape.heads * shape.head_size * context;
  return 6 * params + attention / 2;
}

double InferenceFlopPerToken(const ModelShape& shape, double params, int64_t context) {
  return 2 * params + 2.0 * shape.layers * context * shape.width;
}

double KvBytesPerToken(const ModelShape& shape, int value_bytes) {
  return 2.0 * shape.layers * shape.kv_heads * shape.head_size * value_bytes;
}

}  // namespace longrun::scaling
