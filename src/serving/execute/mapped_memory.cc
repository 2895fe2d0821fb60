#include "serving/execute/mapped_memory.h"

#include <fmt/core.h>
#include <sys/mman.h>

#include <fstream>
#include <utility>

namespace longrun::serving {
namespace {

// What the kernel thinks can be had without swapping; -1 where it does not say.
int64_t AvailableBytes() {
  std::ifstream info("/proc/meminfo");
  std::string key;
  int64_t kibibytes = 0;
  std::string unit;
  while (info >> key >> kibibytes) {
    if (key == "MemAvailable:") return kibibytes * 1024;
    std::getline(info, unit);
  }
  return -1;
}

absl::Status Refused(int64_t bytes, const std::string& what, const std::string& why) {
  return absl::ResourceExhaustedError(fmt::format("no memory for {}: {:.1f} MB are needed, {}",
                                                  what, static_cast<double>(bytes) / 1e6, why));
}

}  // namespace

absl::Status CheckAvailable(int64_t bytes, const std::string& what) {
  if (bytes < 0) return Refused(bytes, what, "which is no size");
  const int64_t available = AvailableBytes();
  if (available < 0 || bytes <= available) return absl::OkStatus();
  return Refused(bytes, what,
                 fmt::format("{:.1f} MB are available", static_cast<double>(available) / 1e6));
}

absl::StatusOr<MappedMemory> MappedMemory::Allocate(int64_t bytes, const std::string& what) {
  LR_RETURN_IF_ERROR(CheckAvailable(bytes, what));
  MappedMemory memory;
  if (bytes == 0) return memory;
  void* data = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return Refused(bytes, what, "the system gives none");
  ::madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);  // helps where it is known
  memory.data_ = static_cast<std::byte*>(data);
  memory.bytes_ = bytes;
  return memory;
}

MappedMemory::MappedMemory(MappedMemory&& other) noexcept { *this = std::move(other); }

MappedMemory& MappedMemory::operator=(MappedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedMemory::~MappedMemory() {
  if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(bytes_));
}

}  // namespace longrun::serving
