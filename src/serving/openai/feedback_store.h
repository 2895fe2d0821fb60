// Preferences on completions, kept for later training: one JSON object a line in
// FOLDER/feedback.jsonl. A record is acknowledged once it is on disk; a crash at any instant leaves
// every acknowledged record readable (a torn last line is skipped, and the next record begins on a
// line of its own).
//
// Any thread may Add; a thread of its own writes, many records with one flush.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"

namespace longrun::serving {

class FeedbackStore {
 public:
  static constexpr int64_t kMostBytes = int64_t{1} << 30;

  // Makes the folder where needed. The file grows to `most_bytes`; whoever has more feedback moves
  // it away and starts the server anew.
  static absl::StatusOr<std::unique_ptr<FeedbackStore>> Open(const std::string& folder,
                                                             int64_t most_bytes = kMostBytes);
  ~FeedbackStore();  // writes what is waiting
  FeedbackStore(const FeedbackStore&) = delete;
  FeedbackStore& operator=(const FeedbackStore&) = delete;

  // `done` is called on the store's thread once the record is on disk, or with why it is not.
  // False: too many wait already, or the file is full; `done` is not called.
  bool Add(const nlohmann::json& record, std::function<void(absl::Status)> done);
  // A record was refused for the file's size.
  bool full() const { return full_; }

 private:
  struct Waiting {
    std::string line;
    std::function<void(absl::Status)> done;
  };
  FeedbackStore(int fd, std::string path, int64_t most_bytes);
  void WriteLoop();
  absl::Status WriteLines(const std::string& lines);

  const int fd_;
  const std::string path_;
  const int64_t most_bytes_;
  std::atomic<bool> full_{false};
  bool torn_ = false;  // the file ends in the midst of a line
  std::mutex mutex_;
  std::condition_variable wake_;
  int64_t bytes_ = 0;  // of the file, once what waits is written
  std::deque<Waiting> waiting_;
  bool ending_ = false;
  std::thread thread_;
};

// The records of a folder, in order; lines that are no JSON object are skipped and counted.
struct FeedbackRecords {
  std::vector<nlohmann::json> records;
  int64_t skipped_lines = 0;
};
absl::StatusOr<FeedbackRecords> ReadFeedback(const std::string& folder);

}  // namespace longrun::serving
