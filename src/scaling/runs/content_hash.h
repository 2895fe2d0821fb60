// The hash of what is read, taken while it is read: a file of any size is gone through once. One
// thread.
#pragma once

#include <array>
#include <memory>
#include <streambuf>
#include <string>

struct XXH3_state_s;

namespace longrun::scaling {

// Hands on what `source` (the caller's, and outliving it) gives.
class HashingBuffer : public std::streambuf {
 public:
  explicit HashingBuffer(std::streambuf* source);
  ~HashingBuffer() override;

  // "xxh128:0123…" of all that has been read, as `xxhsum -H2 FILE` prints it; right once the end
  // has been reached.
  std::string Hash() const;

 protected:
  int_type underflow() override;

 private:
  std::streambuf* source_;
  std::array<char, 1 << 16> bytes_;
  XXH3_state_s* state_;
};

}  // namespace longrun::scaling
