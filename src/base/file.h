// Whole files: read with a limit, written so that a crash leaves the old content or the new.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace longrun {

// The content of `path`; an error names the path and, over `limit` bytes, the limit.
absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t limit = int64_t{1} << 30);

// Writes to a temporary file beside `path`, flushes it to disk, renames it over `path` and flushes
// the folder: after a crash at any instruction `path` holds the old content or all of `content`.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content);

// Makes the folder and its parents; succeeds when it is there already.
absl::Status MakeFolder(const std::string& path);

// Flushes a folder's entries (a rename in it) to disk.
absl::Status SyncFolder(const std::string& path);

}  // namespace longrun
