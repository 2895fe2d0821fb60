// Names for prefixes: 128 bits chained over (tenant, tokens of each full block), keyed by a secret
// that is drawn when the engine starts, so that nobody outside can make two prefixes meet, nor ask
// for another tenant's. The tenant is the authenticated one; no part of a key comes from the
// caller's own words. Every part is encoded with its length: (a, bc) and (ab, c) differ.
//
// A key only finds a block. That the block is the right one is verified token by token (BlockPool).
//
// Never changes once made: any thread may use it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "model/tokenizer.h"

namespace longrun::serving {

struct PrefixKey {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const PrefixKey&) const = default;
};

// A key's bits are as good as random already.
struct PrefixKeyHash {
  size_t operator()(const PrefixKey& key) const { return static_cast<size_t>(key.low); }
};

using CacheSecret = std::array<std::byte, 192>;
// From the kernel's random bytes.
CacheSecret DrawCacheSecret();

class PrefixHasher {
 public:
  explicit PrefixHasher(const CacheSecret& secret) : secret_(secret) {}
  // What a tenant's chains begin with: its salt.
  PrefixKey Root(std::string_view tenant) const;
  // The prefix named `before` and one block's tokens more.
  PrefixKey Next(const PrefixKey& before, std::span<const model::TokenId> tokens) const;

 private:
  CacheSecret secret_;
};

}  // namespace longrun::serving
