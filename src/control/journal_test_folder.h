// For the journal's tests: a folder that goes when the test does, records whose content
// follows from their number, and journals opened with the test failing where they do not open.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "control/sqlite_journal.h"
#include "gtest/gtest.h"

namespace longrun::control {

class TestFolder {
 public:
  TestFolder() {
    // In memory where there is such a place: what is tested outlives processes, not machines.
    path_ = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    path_ += "/longrun_journal_XXXXXX";
    EXPECT_NE(mkdtemp(path_.data()), nullptr);
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& file) const { return path_ + "/" + file; }

  // Names in the folder that begin with `prefix`.
  std::vector<std::string> Names(const std::string& prefix) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      const std::string name = entry.path().filename();
      if (name.starts_with(prefix)) names.push_back(name);
    }
    return names;
  }

 private:
  std::string path_;
};

inline std::unique_ptr<SqliteJournal> OpenJournal(const std::string& folder,
                                                  bool read_only = false) {
  absl::StatusOr<std::unique_ptr<SqliteJournal>> journal =
      SqliteJournal::Open({.folder = folder, .read_only = read_only});
  EXPECT_TRUE(journal.ok()) << journal.status();
  return journal.ok() ? *std::move(journal) : nullptr;
}

inline Time TestTime(uint64_t seq) { return Time{static_cast<int64_t>(seq) * 1000}; }

// 20 to 219 bytes that look random; `salt` tells apart records that took the same number in turn.
inline std::string TestPayload(uint64_t seq, uint64_t salt = 0) {
  Random random(seq * 1000003 + salt);
  std::string payload = absl::StrCat(seq, ":", salt, ":");
  const uint64_t size = 20 + random.Below(200);
  while (payload.size() < size) payload.push_back(static_cast<char>(random.Below(256)));
  return payload;
}

// Commits the next `count` records, `batch` at a time.
inline void WriteRecords(Journal& journal, uint64_t count, uint64_t batch = 50, uint64_t salt = 0) {
  for (uint64_t i = 1; i <= count; ++i) {
    const uint64_t seq = journal.last_seq() + journal.pending() + 1;
    journal.Append(TestTime(seq), static_cast<int32_t>(seq % 3), TestPayload(seq, salt));
    if (i % batch == 0 || i == count) {
      const absl::Status status = journal.Commit();
      ASSERT_TRUE(status.ok()) << status;
    }
  }
}

inline std::vector<uint64_t> ReadableSeqs(Journal& journal, uint64_t from, absl::Status* status) {
  std::vector<uint64_t> seqs;
  *status = journal.Read(from, [&](const RecordView& record) {
    seqs.push_back(record.seq);
    return true;
  });
  return seqs;
}

}  // namespace longrun::control
