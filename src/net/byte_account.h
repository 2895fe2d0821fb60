// What all connections of a server hold in memory for their clients: requests that are not whole
// yet, answers that are not read yet. Each connection tells what it holds; beyond the limit those
// that hold much are refused more. An account is any thread's; a HeldBytes is guarded by its owner.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace longrun::net {

// Empties it and gives its memory back, which assigning an empty string does not.
inline void Release(std::string* bytes) { std::string().swap(*bytes); }

class ByteAccount {
 public:
  explicit ByteAccount(int64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  int64_t bytes() const { return bytes_; }

 private:
  friend class HeldBytes;
  const int64_t limit_bytes_;
  std::atomic<int64_t> bytes_{0};
};

class HeldBytes {
 public:
  // What each may hold however much the others do, so that short requests are always answered.
  static constexpr int64_t kAlwaysBytes = 16 << 10;

  explicit HeldBytes(ByteAccount* account) : account_(account) {}
  ~HeldBytes() { Set(0); }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

  // False: it is too much. It counts until it is set anew all the same.
  bool Set(int64_t bytes) {
    const int64_t more = bytes - std::exchange(bytes_, bytes);
    const int64_t all = account_->bytes_ += more;
    return all <= account_->limit_bytes_ || bytes <= kAlwaysBytes;
  }

 private:
  ByteAccount* const account_;
  int64_t bytes_ = 0;
};

}  // namespace longrun::net
