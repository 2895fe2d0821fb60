#include "serving/openai/feedback_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread_name.h"

namespace longrun::serving {
namespace {

using nlohmann::json;

constexpr size_t kMostWaiting = 1024;

std::string PathIn(const std::string& folder) { return folder + "/feedback.jsonl"; }

}  // namespace

absl::StatusOr<std::unique_ptr<FeedbackStore>> FeedbackStore::Open(const std::string& folder,
                                                                   int64_t most_bytes) {
  LR_RETURN_IF_ERROR(MakeFolder(folder));
  const std::string path = PathIn(folder);
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  auto store = std::unique_ptr<FeedbackStore>(new FeedbackStore(fd, path, most_bytes));
  LR_RETURN_IF_ERROR(SyncFolder(folder));
  struct stat info {};
  char last = '\n';
  if (::fstat(fd, &info) != 0 || (info.st_size > 0 && ::pread(fd, &last, 1, info.st_size - 1) != 1))
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
  store->torn_ = last != '\n';
  store->bytes_ = info.st_size;
  store->thread_ = std::thread([raw = store.get()] { raw->WriteLoop(); });
  return store;
}

FeedbackStore::FeedbackStore(int fd, std::string path, int64_t most_bytes)
    : fd_(fd), path_(std::move(path)), most_bytes_(most_bytes) {}

FeedbackStore::~FeedbackStore() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  ::close(fd_);
}

bool FeedbackStore::Add(const json& record, std::function<void(absl::Status)> done) {
  std::string line = record.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMostWaiting) return false;
    const auto bytes = static_cast<int64_t>(line.size());
    if (bytes > most_bytes_ - bytes_) {
      if (!full_.exchange(true)) {
        log::error("{} has {} bytes, as many as it may: move it away and start the server anew",
                   path_, bytes_);
      }
      return false;
    }
    bytes_ += bytes;
    waiting_.push_back({std::move(line), std::move(done)});
  }
  wake_.notify_all();
  return true;
}

void FeedbackStore::WriteLoop() {
  NameThread("lr-feedback");
  while (true) {
    std::deque<Waiting> batch;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      batch.swap(waiting_);
    }
    std::string lines;
    for (const Waiting& one : batch) lines += one.line;
    const absl::Status written = WriteLines(lines);
    if (!written.ok()) log::error("feedback: {}", std::string(written.message()));
    for (const Waiting& one : batch) one.done(written);
  }
}

absl::Status FeedbackStore::WriteLines(const std::string& lines) {
  const std::string all = (torn_ ? "\n" : "") + lines;
  torn_ = true;  // until all of it is known to be written
  for (size_t at = 0; at < all.size();) {
    const ssize_t n = ::write(fd_, all.data() + at, all.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path_));
    at += static_cast<size_t>(n);
  }
  if (::fdatasync(fd_) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot flush ", path_));
  torn_ = false;
  return absl::OkStatus();
}

absl::StatusOr<FeedbackRecords> ReadFeedback(const std::string& folder) {
  LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(PathIn(folder), int64_t{4} << 30));
  FeedbackRecords read;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    if (line.empty()) continue;
    json record = json::parse(line, nullptr, false);
    if (record.is_object()) {
      read.records.push_back(std::move(record));
    } else {
      ++read.skipped_lines;
    }
  }
  return read;
}

}  // namespace longrun::serving
