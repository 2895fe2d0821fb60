#include "scaling/runs/content_hash.h"

#include <xxhash.h>

#include "absl/strings/str_format.h"
#include "base/check.h"

namespace longrun::scaling {

HashingBuffer::HashingBuffer(std::streambuf* source) : source_(source), state_(XXH3_createState()) {
  LR_CHECK(state_ != nullptr);
  XXH3_128bits_reset(state_);
}

HashingBuffer::~HashingBuffer() { XXH3_freeState(state_); }

std::streambuf::int_type HashingBuffer::underflow() {
  const std::streamsize count =
      source_->sgetn(bytes_.data(), static_cast<std::streamsize>(bytes_.size()));
  if (count <= 0) return traits_type::eof();
  XXH3_128bits_update(state_, bytes_.data(), static_cast<size_t>(count));
  setg(bytes_.data(), bytes_.data(), bytes_.data() + count);
  return traits_type::to_int_type(bytes_[0]);
}

std::string HashingBuffer::Hash() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_);
  return absl::StrFormat("xxh128:%016x%016x", hash.high64, hash.low64);
}

}  // namespace longrun::scaling
