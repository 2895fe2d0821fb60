#include "serving/schedule/mask_turns.h"

#include <algorithm>

namespace longrun::serving {

std::vector<int64_t> MaskTurns::Share(std::span<const int32_t> tenants) const {
  struct Part {
    int64_t rows = 0, left = 0;
  };
  absl::flat_hash_map<int32_t, Part> parts;
  for (const int32_t tenant : tenants) ++parts[tenant].rows;
  const auto spent = [this](int32_t tenant) {
    const auto found = spent_.find(tenant);
    return found == spent_.end() ? 0 : found->second;
  };
  // All that those had or may have who still want something.
  int64_t theirs = left_;
  for (const auto& [tenant, part] : parts) theirs += spent(tenant);
  for (auto& [tenant, part] : parts) {
    const int64_t fair = theirs / static_cast<int64_t>(parts.size()) - spent(tenant);
    part.left = spent(tenant) == 0 ? std::max(kLeastEffort, fair) : fair;
  }
  std::vector<int64_t> shares;
  shares.reserve(tenants.size());
  int64_t left = left_;
  for (const int32_t tenant : tenants) {
    Part& part = parts[tenant];
    const int64_t wanted = part.rows-- == 1 ? part.left : std::max(kLeastEffort, part.left / 2);
    int64_t share = std::min({wanted, part.left, left});
    if (share < kLeastEffort) share = 0;
    part.left -= share;
    left -= share;
    shares.push_back(share);
  }
  return shares;
}

}  // namespace longrun::serving
