#include "serving/execute/read_ahead.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "base/thread_name.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14
#endif

namespace longrun::serving {
namespace {

constexpr size_t kPieceBytes = size_t{4} << 20;

}  // namespace

ReadAhead::ReadAhead(std::vector<std::span<const std::byte>> parts)
    : parts_(std::move(parts)), thread_([this] { Read(); }) {}

ReadAhead::~ReadAhead() {
  stop_ = true;
  thread_.join();
}

void ReadAhead::Await(size_t n) const {
  std::unique_lock lock(mutex_);
  more_.wait(lock, [&] { return done_ >= n; });
}

void ReadAhead::Read() {
  NameThread("lr-read");
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  bool able = true;  // older systems read the pages as they are touched
  for (const auto& part : parts_) {
    const auto begin = reinterpret_cast<uintptr_t>(part.data()) / page * page;
    const auto end = reinterpret_cast<uintptr_t>(part.data()) + part.size();
    for (uintptr_t at = begin; at < end && able && !stop_; at += kPieceBytes) {
      able = ::madvise(reinterpret_cast<void*>(at), std::min(kPieceBytes, end - at),
                       MADV_POPULATE_READ) == 0 ||
             errno != EINVAL;
    }
    const std::lock_guard lock(mutex_);
    ++done_;
    more_.notify_all();
  }
}

}  // namespace longrun::serving
