#include "serving/cache/prefix_key.h"

#include <sys/random.h>
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/check.h"

namespace longrun::serving {
namespace {

static_assert(sizeof(CacheSecret) >= XXH3_SECRET_SIZE_MIN);

class Encoder {
 public:
  explicit Encoder(char kind, size_t bytes) {
    bytes_.reserve(bytes + 32);
    bytes_.push_back(kind);
  }
  void Put(const void* data, size_t size) {
    const uint64_t length = size;
    bytes_.append(reinterpret_cast<const char*>(&length), sizeof length);
    bytes_.append(static_cast<const char*>(data), size);
  }
  PrefixKey Hash(const CacheSecret& secret) const {
    const XXH128_hash_t hash =
        XXH3_128bits_withSecret(bytes_.data(), bytes_.size(), secret.data(), secret.size());
    return {hash.low64, hash.high64};
  }

 private:
  std::string bytes_;
};

}  // namespace

CacheSecret DrawCacheSecret() {
  CacheSecret secret;
  size_t drawn = 0;
  while (drawn < secret.size()) {
    const ssize_t n = getrandom(secret.data() + drawn, secret.size() - drawn, 0);
    LR_CHECK(n > 0 || errno == EINTR);
    if (n > 0) drawn += static_cast<size_t>(n);
  }
  return secret;
}

PrefixKey PrefixHasher::Root(std::string_view tenant) const {
  Encoder encoder('t', tenant.size());
  encoder.Put(tenant.data(), tenant.size());
  return encoder.Hash(secret_);
}

PrefixKey PrefixHasher::Next(const PrefixKey& before,
                             std::span<const model::TokenId> tokens) const {
  Encoder encoder('b', sizeof before + tokens.size_bytes());
  encoder.Put(&before, sizeof before);
  encoder.Put(tokens.data(), tokens.size_bytes());
  return encoder.Hash(secret_);
}

}  // namespace longrun::serving
