// Which tenant received which completion and how often it was judged, for the newest ones; memory
// is bounded. Any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace longrun::serving {

struct CompletionRecord {
  std::string tenant;
  std::string model;
  int64_t choices = 1;
  int64_t judged = 0;
};

class RecentCompletions {
 public:
  static constexpr size_t kMost = 1 << 15;
  static constexpr int64_t kBytesOfEach = 512;  // its id twice, names, places in lists

  explicit RecentCompletions(size_t most = kMost) : most_(most) {}

  void Add(const std::string& id, CompletionRecord record) {
    const std::lock_guard lock(mutex_);
    if (!records_.emplace(id, std::move(record)).second) return;
    order_.push_back(id);
    if (order_.size() > most_) {
      records_.erase(order_.front());
      order_.pop_front();
    }
  }
  // Nothing where it is unknown or another tenant's: neither can be told from the other.
  std::optional<CompletionRecord> Find(const std::string& id, const std::string& tenant) const {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(id);
    if (found == records_.end() || found->second.tenant != tenant) return std::nullopt;
    return found->second;
  }
  // Counts one more judgement of it; false: it has had `most`.
  bool Judge(const std::string& id, int64_t most) {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(id);
    if (found == records_.end() || found->second.judged >= most) return false;
    ++found->second.judged;
    return true;
  }

 private:
  mutable std::mutex mutex_;
  const size_t most_;
  absl::flat_hash_map<std::string, CompletionRecord> records_;
  std::deque<std::string> order_;
};

}  // namespace longrun::serving
