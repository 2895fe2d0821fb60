// Preferences on completions, kept for later training: one JSON object a line in
// FOLDER/feedback.jsonl. A record is acknowledged once it is on disk; a crash at any instant leaves
// every acknowledged record readable (a torn last line is skipped, and the next record begins on a
// line of its own).
//
// Any thread may Add; a thread of its own writes, many records with one flush.
#pragma once

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
  // Makes the folder where needed.
  static absl::StatusOr<std::unique_ptr<FeedbackStore>> Open(const std::string& folder);
  ~FeedbackStore();  // writes what is waiting
  FeedbackStore(const FeedbackStore&) = delete;
  FeedbackStore& operator=(const FeedbackStore&) = delete;

  // `done` is called on the store's thread once the record is on disk, or with why it is not.
  // False: too many wait already; `done` is not called.
  bool Add(const nlohmann::json& record, std::function<void(absl::Status)> done);

 private:
  struct Waiting {
    std::string line;
    std::function<void(absl::Status)> done;
  };
  explicit FeedbackStore(int fd, std::string path);
  void WriteLoop();
  absl::Status WriteLines(const std::string& lines);

  const int fd_;
  const std::string path_;
  bool torn_ = false;  // the file ends in the midst of a line
  std::mutex mutex_;
  std::condition_variable wake_;
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
