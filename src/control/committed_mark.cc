#include "control/committed_mark.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace longrun::control {
namespace {

struct Mark {
  uint64_t seq = 0;
  uint64_t sum = 0;  // of the number
};

uint64_t SumOf(uint64_t seq) { return XXH3_64bits(&seq, sizeof(seq)); }

}  // namespace

CommittedMark::CommittedMark(const std::string& folder)
    : fd_(open((folder + "/journal.committed").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {}

CommittedMark::CommittedMark(CommittedMark&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

CommittedMark& CommittedMark::operator=(CommittedMark&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

CommittedMark::~CommittedMark() {
  if (fd_ >= 0) close(fd_);
}

std::optional<uint64_t> CommittedMark::Read() const {
  Mark mark;
  if (pread(fd_, &mark, sizeof(mark), 0) != sizeof(mark)) return std::nullopt;
  if (mark.sum != SumOf(mark.seq)) return std::nullopt;
  return mark.seq;
}

void CommittedMark::Write(uint64_t seq) {
  const Mark mark{seq, SumOf(seq)};
  [[maybe_unused]] const ssize_t n = pwrite(fd_, &mark, sizeof(mark), 0);
}

}  // namespace longrun::control
