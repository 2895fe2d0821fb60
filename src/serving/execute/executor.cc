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

double ModelShape::Flops(const Slice& slice) const {
  const double n = static_cast<double>(slice.tokens.size());
  const double asked = static_cast<double>(slice.logits);
  const double kept = slice.states ? n : asked;
  const double length = static_cast<double>(slice.position) + n;
  // Positions that the last k tokens attend to.
  const auto attended = [&](double k) { return k * (length - k) + k * (k + 1) / 2; };
  const double positions = static_cast<double>(layers - 1) * attended(n) + attended(kept);
  return n * flops_per_token + kept * flops_of_end + asked * flops_of_head +
         4.0 * static_cast<double>(heads * head_dim) * positions;
}

}  // namespace longrun::serving
