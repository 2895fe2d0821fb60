// Who may ask: tenants and their API keys, from a file such as
//
//   tenants:
//     - name: research
//       keys: [sk-one]                     # or, so that the file holds no secret:
//       key_sha256: [9f86d0818…]           # hex of the key's SHA-256
//       requests_per_minute: 600           # left out: no limit
//       tokens_per_minute: 100000
//       max_priority: 10                   # 0 where left out
//       models: [gpt2]                     # left out: all
//
// Plain values; immutable once read, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace longrun::serving {

using KeyHash = std::array<uint8_t, 32>;

struct Tenant {
  std::string name;
  std::vector<KeyHash> keys;
  std::optional<double> requests_per_minute;
  std::optional<double> tokens_per_minute;
  int32_t max_priority = 0;
  std::vector<std::string> models;  // empty: all

  bool MayUse(std::string_view model) const;
};

// `name`: how messages call the text.
absl::StatusOr<std::vector<Tenant>> ParseTenants(std::string_view text, const std::string& name);
absl::StatusOr<std::vector<Tenant>> ReadTenants(const std::string& path);

KeyHash HashKey(std::string_view key);

// The index of the tenant that `key` belongs to. Compares with every key in constant time, so that
// how long it takes tells nothing.
std::optional<size_t> FindTenant(const std::vector<Tenant>& tenants, std::string_view key);
std::optional<size_t> TenantNamed(const std::vector<Tenant>& tenants, std::string_view name);

// `count` letters and digits nobody can guess.
std::string RandomName(size_t count);
uint64_t RandomSeed();

}  // namespace longrun::serving
