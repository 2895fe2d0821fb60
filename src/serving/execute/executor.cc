#include "serving/execute/executor.h"

#include "base/check.h"

namespace longrun::serving {

int64_t ModelShape::KvBytesPerToken(KvType type) const {
  const int64_t vectors = 2 * layers * kv_heads;
  switch (type) {
    case KvType::kF32:
      return vectors * head_dim * 4;
    case KvType::kBF16:
      return vectors * head_dim * 2;
    case KvType::kInt8:  // a scale for each vector
      return vectors * (head_dim + 4);
  }
  LR_CHECK(false);
  return 0;
}

}  // namespace longrun::serving
