#include "agent/rotated_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace longrun::agent {

RotatedLog::RotatedLog(RotatedLog&& other) noexcept { *this = std::move(other); }

RotatedLog& RotatedLog::operator=(RotatedLog&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(limit_bytes_, other.limit_bytes_);
  std::swap(size_bytes_, other.size_bytes_);
  std::swap(lost_bytes_, other.lost_bytes_);
  std::swap(at_line_start_, other.at_line_start_);
  return *this;
}

RotatedLog::~RotatedLog() {
  if (fd_ >= 0) ::close(fd_);
}

absl::StatusOr<RotatedLog> RotatedLog::Open(std::string path, int64_t limit_bytes) {
  RotatedLog log;
  log.fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log.fd_ < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  struct stat status;
  if (::fstat(log.fd_, &status) == 0) log.size_bytes_ = status.st_size;
  log.path_ = std::move(path);
  log.limit_bytes_ = limit_bytes;
  return log;
}

void RotatedLog::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const int64_t room = limit_bytes_ - size_bytes_;
    if (static_cast<int64_t>(bytes.size()) <= room) return Write(bytes);
    // As many whole lines as have room; where none has, the file is full.
    const size_t newline =
        room > 0 ? bytes.rfind('\n', static_cast<size_t>(room) - 1) : std::string_view::npos;
    if (newline != std::string_view::npos) {
      Write(bytes.substr(0, newline + 1));
      bytes.remove_prefix(newline + 1);
    } else if (!at_line_start_ || size_bytes_ == 0) {
      // In the midst of a line: it is finished in this file, up to as much again as the limit.
      const size_t end = bytes.find('\n');
      const int64_t whole =
          static_cast<int64_t>(end == std::string_view::npos ? bytes.size() : end + 1);
      const int64_t most = 2 * limit_bytes_ - size_bytes_;
      const size_t n = static_cast<size_t>(std::max<int64_t>(0, std::min(whole, most)));
      Write(bytes.substr(0, n));
      bytes.remove_prefix(n);
      if (at_line_start_ || n == 0 || most <= whole) Rotate();
    } else {
      Rotate();
    }
  }
}

void RotatedLog::Write(std::string_view bytes) {
  if (bytes.empty()) return;
  at_line_start_ = bytes.back() == '\n';
  size_bytes_ += static_cast<int64_t>(bytes.size());
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      lost_bytes_ += static_cast<int64_t>(bytes.size());
      return;
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void RotatedLog::Rotate() {
  at_line_start_ = true;
  size_bytes_ = 0;
  ::rename(absl::StrCat(path_, ".1").c_str(), absl::StrCat(path_, ".2").c_str());
  ::rename(path_.c_str(), absl::StrCat(path_, ".1").c_str());
  const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;  // goes on in the old file
  ::close(fd_);
  fd_ = fd;
}

}  // namespace longrun::agent
