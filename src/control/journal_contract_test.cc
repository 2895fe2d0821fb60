// What every journal promises, run against each of them.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/journal_test_folder.h"
#include "control/memory_journal.h"
#include "gtest/gtest.h"

namespace longrun::control {
namespace {

// A place where a journal lives, which a crash of its user does not end.
class Place {
 public:
  virtual ~Place() = default;
  virtual Journal& journal() = 0;
  virtual void Reopen() = 0;  // as after a crash: nothing of the pending is committed
};

class MemoryPlace : public Place {
 public:
  Journal& journal() override { return journal_; }
  void Reopen() override { journal_.Crash(); }

 private:
  MemoryJournal journal_;
};

class SqlitePlace : public Place {
 public:
  SqlitePlace() { Reopen(); }
  Journal& journal() override { return *journal_; }
  void Reopen() override {
    journal_.reset();
    journal_ = OpenJournal(folder_.path());
  }

 private:
  TestFolder folder_;
  std::unique_ptr<SqliteJournal> journal_;
};

struct Kind {
  std::string name;
  std::function<std::unique_ptr<Place>()> make;
};

class JournalContract : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override { place_ = GetParam().make(); }
  Journal& journal() { return place_->journal(); }
  void Reopen() { place_->Reopen(); }

  // Commits records first to last, of kind seq % 3, and returns what was written.
  void Write(uint64_t first, uint64_t last) {
    for (uint64_t seq = first; seq <= last; ++seq) {
      EXPECT_EQ(journal().Append(TimeOf(seq), static_cast<int32_t>(seq % 3), Payload(seq)), seq);
    }
    ASSERT_TRUE(journal().Commit().ok());
  }
  static Time TimeOf(uint64_t seq) { return Time{static_cast<int64_t>(1000 + seq * 10)}; }
  static std::string Payload(uint64_t seq) {
    return absl::StrCat("payload of ", seq, std::string(seq % 7, '\0'));
  }

  std::vector<uint64_t> ReadSeqs(uint64_t from) {
    std::vector<uint64_t> seqs;
    const absl::Status status = journal().Read(from, [&](const RecordView& record) {
      EXPECT_EQ(record.at, TimeOf(record.seq));
      EXPECT_EQ(record.kind, static_cast<int32_t>(record.seq % 3));
      EXPECT_EQ(record.payload, Payload(record.seq));
      seqs.push_back(record.seq);
      return true;
    });
    EXPECT_TRUE(status.ok()) << status;
    return seqs;
  }
  static std::vector<uint64_t> Range(uint64_t first, uint64_t last) {
    std::vector<uint64_t> seqs;
    for (uint64_t seq = first; seq <= last; ++seq) seqs.push_back(seq);
    return seqs;
  }

  std::unique_ptr<Place> place_;
};

TEST_P(JournalContract, ANewJournalIsEmpty) {
  EXPECT_EQ(journal().last_seq(), 0u);
  EXPECT_TRUE(journal().last_at().never());
  EXPECT_TRUE(ReadSeqs(1).empty());
  EXPECT_FALSE(journal().NewestSnapshot()->has_value());
  EXPECT_TRUE(journal().damages().empty());
  EXPECT_TRUE(journal().Commit().ok());
}

TEST_P(JournalContract, CommittedRecordsAreThereAfterACrash) {
  Write(1, 10);
  Write(11, 11);
  Reopen();
  EXPECT_EQ(journal().last_seq(), 11u);
  EXPECT_EQ(journal().last_at(), TimeOf(11));
  EXPECT_EQ(ReadSeqs(1), Range(1, 11));
  EXPECT_EQ(ReadSeqs(7), Range(7, 11));
  EXPECT_TRUE(ReadSeqs(12).empty());
  Write(12, 20);
  Reopen();
  EXPECT_EQ(ReadSeqs(1), Range(1, 20));
  EXPECT_TRUE(journal().damages().empty());
}

TEST_P(JournalContract, WhatWasNotCommittedIsNeitherReadNorKept) {
  Write(1, 3);
  journal().Append(TimeOf(4), 1, Payload(4));
  EXPECT_EQ(journal().pending(), 1u);
  EXPECT_EQ(ReadSeqs(1), Range(1, 3));
  Reopen();
  EXPECT_EQ(journal().pending(), 0u);
  EXPECT_EQ(ReadSeqs(1), Range(1, 3));
  Write(4, 5);
  EXPECT_EQ(ReadSeqs(1), Range(1, 5));
}

TEST_P(JournalContract, AVisitorMayStop) {
  Write(1, 5);
  int seen = 0;
  EXPECT_TRUE(journal().Read(1, [&](const RecordView&) { return ++seen < 3; }).ok());
  EXPECT_EQ(seen, 3);
}

TEST_P(JournalContract, EmptyAndLargePayloadsComeBackAsTheyWere) {
  const std::string large(3 << 20, 'x');
  ASSERT_TRUE(journal().AppendAndCommit(Time{1}, 0, "").ok());
  ASSERT_TRUE(journal().AppendAndCommit(Time{1}, 0, large).ok());
  Reopen();
  std::vector<std::string> payloads;
  ASSERT_TRUE(journal()
                  .Read(1,
                        [&](const RecordView& record) {
                          payloads.emplace_back(record.payload);
                          return true;
                        })
                  .ok());
  EXPECT_EQ(payloads, (std::vector<std::string>{"", large}));
}

TEST_P(JournalContract, TheNewestSnapshotCounts) {
  Write(1, 10);
  ASSERT_TRUE(journal().WriteSnapshot(5, "five").ok());
  ASSERT_TRUE(journal().WriteSnapshot(10, "ten").ok());
  ASSERT_TRUE(journal().WriteSnapshot(10, "ten again").ok());
  Write(11, 12);
  ASSERT_TRUE(journal().WriteSnapshot(11, "").ok());
  Reopen();
  const std::optional<Snapshot> snapshot = *journal().NewestSnapshot();
  ASSERT_TRUE(snapshot.has_value());
  EXPECT_EQ(snapshot->seq, 11u);
  EXPECT_EQ(snapshot->at, TimeOf(11));
  EXPECT_EQ(snapshot->payload, "");
  EXPECT_EQ(ReadSeqs(snapshot->seq + 1), Range(12, 12));
  EXPECT_EQ(journal().last_seq(), 12u);
}

TEST_P(JournalContract, PruningTakesOnlyTheKindsAskedForBelowTheOlderSnapshot) {
  Write(1, 30);
  EXPECT_EQ(*journal().Prune({1}, 30), 0u) << "without snapshots nothing goes";
  ASSERT_TRUE(journal().WriteSnapshot(12, "a").ok());
  EXPECT_EQ(*journal().Prune({1}, 30), 0u) << "with one snapshot nothing goes";
  ASSERT_TRUE(journal().WriteSnapshot(24, "b").ok());
  EXPECT_EQ(*journal().Prune({1, 2}, 6), 4u);   // 1 2 4 5
  EXPECT_EQ(*journal().Prune({1, 2}, 30), 4u);  // 7 8 10 11
  EXPECT_EQ(*journal().Prune({1, 2}, 30), 0u);
  const std::vector<uint64_t> left = [] {
    std::vector<uint64_t> seqs = {3, 6, 9};
    for (uint64_t seq = 12; seq <= 30; ++seq) seqs.push_back(seq);
    return seqs;
  }();
  EXPECT_EQ(ReadSeqs(1), left);
  EXPECT_EQ(ReadSeqs(8), std::vector<uint64_t>(left.begin() + 2, left.end()));
  Reopen();
  EXPECT_EQ(ReadSeqs(1), left);
  EXPECT_EQ(journal().last_seq(), 30u);
  Write(31, 33);
  ASSERT_TRUE(journal().WriteSnapshot(33, "c").ok());
  EXPECT_EQ(*journal().Prune({0, 1, 2}, 100), 12u) << "12 to 23";
  Reopen();
  EXPECT_EQ(ReadSeqs(10), Range(24, 33));
  EXPECT_EQ(ReadSeqs(1).front(), 3u) << "what was looked at before stays";
  EXPECT_TRUE(journal().damages().empty());
}

INSTANTIATE_TEST_SUITE_P(
    Each, JournalContract,
    testing::Values(Kind{"memory", [] { return std::make_unique<MemoryPlace>(); }},
                    Kind{"sqlite", [] { return std::make_unique<SqlitePlace>(); }}),
    [](const testing::TestParamInfo<Kind>& info) { return info.param.name; });

TEST(MemoryJournal, ACrashKeepsWhatTheCallerSaysAndTellsOfATornRecord) {
  MemoryJournal journal;
  for (int i = 1; i <= 4; ++i) journal.Append(Time{i}, 0, "x");
  journal.Crash(2, /*torn=*/true);
  EXPECT_EQ(journal.last_seq(), 2u);
  EXPECT_EQ(journal.pending(), 0u);
  ASSERT_EQ(journal.damages().size(), 1u);
  EXPECT_EQ(journal.damages()[0].first_seq, 3u);
  EXPECT_EQ(journal.Append(Time{3}, 0, "y"), 3u);
}

TEST(MemoryJournal, ADamagedSnapshotLeavesTheOlderOne) {
  MemoryJournal journal;
  for (int i = 1; i <= 4; ++i) journal.Append(Time{i}, 0, "x");
  ASSERT_TRUE(journal.Commit().ok());
  ASSERT_TRUE(journal.WriteSnapshot(2, "two").ok());
  ASSERT_TRUE(journal.WriteSnapshot(4, "four").ok());
  journal.DamageNewestSnapshot();
  EXPECT_EQ((*journal.NewestSnapshot())->payload, "two");
}

TEST(MemoryJournal, AWriteThatFailsKeepsTheRecordsForTheNextTry) {
  MemoryJournal journal;
  journal.FailWrites(absl::ResourceExhaustedError("full"));
  EXPECT_FALSE(journal.AppendAndCommit(Time{1}, 0, "x").ok());
  EXPECT_EQ(journal.last_seq(), 0u);
  journal.FailWrites(absl::OkStatus());
  EXPECT_TRUE(journal.Commit().ok());
  EXPECT_EQ(journal.last_seq(), 1u);
}

}  // namespace
}  // namespace longrun::control
