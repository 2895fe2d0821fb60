// Zeroed memory straight from the system, in large pages where it has them. Owned by whoever holds
// it; movable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace longrun::serving {

// ResourceExhausted, saying what for and how much, where the system has less available: it would
// promise more than it has, and end somebody when it is taken at its word.
absl::Status CheckAvailable(int64_t bytes, const std::string& what);

class MappedMemory {
 public:
  MappedMemory() = default;
  // ResourceExhausted, saying what for and how much, where the system refuses or has less
  // available.
  static absl::StatusOr<MappedMemory> Allocate(int64_t bytes, const std::string& what);
  MappedMemory(MappedMemory&& other) noexcept;
  MappedMemory& operator=(MappedMemory&& other) noexcept;
  ~MappedMemory();

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace longrun::serving
