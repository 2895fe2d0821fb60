// A log file of bounded size: what a rank writes to its standard output or error.
//
// When the file is full it becomes `path.1` (and `.1` becomes `.2`, which is the oldest kept),
// always between two lines, so that no line is torn apart. A line longer than the limit alone is
// cut.
//
// Owned by the agent's loop.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace longrun::agent {

class RotatedLog {
 public:
  RotatedLog() = default;
  RotatedLog(RotatedLog&& other) noexcept;
  RotatedLog& operator=(RotatedLog&& other) noexcept;
  ~RotatedLog();

  // Appends to what is there.
  static absl::StatusOr<RotatedLog> Open(std::string path, int64_t limit_bytes);

  // Writes at once. What a full disk refuses is lost and counted: a rank must not stand still
  // because of its log.
  void Append(std::string_view bytes);

  int64_t lost_bytes() const { return lost_bytes_; }

 private:
  void Write(std::string_view bytes);
  void Rotate();

  std::string path_;
  int fd_ = -1;
  int64_t limit_bytes_ = 0;
  int64_t size_bytes_ = 0;
  int64_t lost_bytes_ = 0;
  bool at_line_start_ = true;
};

}  // namespace longrun::agent
