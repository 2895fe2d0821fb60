#include "control/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace longrun::control {

namespace {
std::string ReadHolder(int fd) {
  char text[32];
  const ssize_t n = pread(fd, text, sizeof(text), 0);
  return n <= 0 ? "" : std::string(absl::StripAsciiWhitespace({text, static_cast<size_t>(n)}));
}
}  // namespace

absl::StatusOr<FolderLock> FolderLock::Take(const std::string& folder) {
  const std::string path = folder + "/controller.lock";
  FolderLock lock;
  lock.path_ = path;
  // Not inherited by the processes the holder starts: they outlive it and must not hold its lock.
  lock.fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock.fd_ < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  if (flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return absl::ErrnoToStatus(errno, absl::StrCat("cannot lock ", path));
    const std::string holder = ReadHolder(lock.fd_);
    return absl::FailedPreconditionError(absl::StrCat(
        folder, ": another controller",
        holder.empty() ? "" : absl::StrCat(" (process ", holder, ")"),
        " uses this state folder; stop it",
        holder.empty() ? "" : absl::StrCat(" (kill ", holder, ")"), " or choose another folder"));
  }
  const std::string holder = absl::StrCat(getpid(), "\n");
  // The number only serves a message: a full disk is no reason not to hold the lock.
  if (ftruncate(lock.fd_, 0) == 0) {
    [[maybe_unused]] const ssize_t n = pwrite(lock.fd_, holder.data(), holder.size(), 0);
  }
  return lock;
}

bool FolderLock::InPlace() const {
  struct stat held, there;
  return fstat(fd_, &held) == 0 && stat(path_.c_str(), &there) == 0 &&
         held.st_ino == there.st_ino && held.st_dev == there.st_dev;
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace longrun::control
