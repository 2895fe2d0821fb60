// One controller per state folder. The lock is the kernel's (flock), so it ends with its holder
// however that ended: the file that stays behind is no obstacle. It holds the holder's process
// number, for the message to the next one.
#pragma once

#include <string>

#include "base/status.h"

namespace longrun::control {

class FolderLock {
 public:
  FolderLock() = default;
  // FailedPrecondition, naming the other process and what to do, when the folder is in use.
  static absl::StatusOr<FolderLock> Take(const std::string& folder);
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) noexcept;
  ~FolderLock();

  // Whether the folder still holds the lock that was taken: it may have been deleted, or another
  // put in its place, in which a second controller finds nobody.
  bool InPlace() const;

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace longrun::control
