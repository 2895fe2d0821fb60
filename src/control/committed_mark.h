// How far the journal had been committed, kept outside of it: a log that was cut where one of its
// transactions ends, or an older copy of the journal, is whole in itself.
//
// Written after each commit and never flushed. So it may lag behind the journal, when a machine
// loses power or a process is killed between the two, and can never be ahead of one that has lost
// nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace longrun::control {

class CommittedMark {
 public:
  CommittedMark() = default;
  explicit CommittedMark(const std::string& folder);  // folder/journal.committed
  CommittedMark(CommittedMark&& other) noexcept;
  CommittedMark& operator=(CommittedMark&& other) noexcept;
  ~CommittedMark();

  // The number of the last record known to be committed; none where there is no mark, or a torn
  // one.
  std::optional<uint64_t> Read() const;
  // A mark that cannot be written (a full disk) lags; nothing else comes of it.
  void Write(uint64_t seq);

 private:
  int fd_ = -1;
};

}  // namespace longrun::control
