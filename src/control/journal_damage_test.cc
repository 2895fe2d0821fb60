// Files damaged in hundreds of places, by a seeded hand. Whatever is hit: the journal opens, what
// it gives is what was written, what is missing is reported, and it goes on from there.
#include <unistd.h>

#include <functional>

#include "base/file.h"
#include "control/journal_test_folder.h"
#include "control/sqlite_database.h"
#include "gmock/gmock.h"

namespace longrun::control {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr uint64_t kRecords = 1500;

// A journal as a kill -9 leaves it (`in_log`: the records sit in the log still), with snapshots
// after each number in `snapshots`.
void MakeJournal(const std::string& folder, const std::vector<uint64_t>& snapshots, bool in_log) {
  TestFolder live;
  {
    const auto journal = OpenJournal(live.path());
    WriteRecords(*journal, kRecords);
    for (const uint64_t seq : snapshots) {
      ASSERT_TRUE(journal->WriteSnapshot(seq, absl::StrCat("state after ", seq)).ok());
    }
    if (in_log) {
      std::filesystem::copy(live.path(), folder, std::filesystem::copy_options::recursive);
      return;
    }
  }
  std::filesystem::copy(live.path(), folder, std::filesystem::copy_options::recursive);
}

std::string Content(const std::string& path) {
  absl::StatusOr<std::string> content = ReadFile(path);
  EXPECT_TRUE(content.ok()) << content.status();
  return content.ok() ? *content : "";
}

std::string AllDamages(const Journal& journal) {
  std::string all;
  for (const Damage& damage : journal.damages()) absl::StrAppend(&all, damage.what, "\n");
  return all;
}

// The promise itself, whatever happened to the files: missing records are reported, too.
void CheckOpensWithATruePrefix(const std::string& folder) {
  absl::StatusOr<std::unique_ptr<SqliteJournal>> opened = SqliteJournal::Open({.folder = folder});
  ASSERT_TRUE(opened.ok()) << opened.status();
  SqliteJournal& journal = **opened;
  const uint64_t last = journal.last_seq();
  ASSERT_LE(last, kRecords);
  if (last < kRecords) {
    EXPECT_FALSE(journal.damages().empty()) << "only " << last << " are left, and nothing said so";
  }
  const std::optional<Snapshot> snapshot = *journal.NewestSnapshot();
  if (snapshot) {
    EXPECT_EQ(snapshot->payload, absl::StrCat("state after ", snapshot->seq));
  }
  uint64_t next = snapshot ? snapshot->seq + 1 : 1;
  const absl::Status tail = journal.Read(next, [&](const RecordView& record) {
    EXPECT_EQ(record.seq, next++) << "the tail is dense";
    EXPECT_EQ(record.payload, TestPayload(record.seq));
    return true;
  });
  EXPECT_TRUE(tail.ok()) << tail;
  EXPECT_EQ(next, last + 1);
  journal
      .Read(1,
            [](const RecordView& record) {
              EXPECT_EQ(record.payload, TestPayload(record.seq));
              EXPECT_EQ(record.at, TestTime(record.seq));
              return true;
            })
      .IgnoreError();

  // It goes on, and what it goes on with is there after the next opening, which finds nothing new.
  WriteRecords(journal, 30, 10, /*salt=*/7);
  opened->reset();
  const auto again = OpenJournal(folder);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->last_seq(), last + 30);
  EXPECT_EQ(AllDamages(*again), "");
  uint64_t written = 0;
  const absl::Status status = again->Read(last + 1, [&](const RecordView& record) {
    EXPECT_EQ(record.payload, TestPayload(record.seq, 7));
    ++written;
    return true;
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(written, 30u);
}

using Spoil = std::function<void(std::string& content, Random& random)>;

void FlipABit(std::string& content, Random& random) {
  content[random.Below(content.size())] ^= static_cast<char>(1 << random.Below(8));
}
void Overwrite(std::string& content, Random& random) {
  const size_t at = random.Below(content.size());
  const bool zeros = random.Chance(0.5);
  for (size_t i = at; i < std::min(content.size(), at + 1 + random.Below(6000)); ++i) {
    content[i] = zeros ? '\0' : static_cast<char>(random.Below(256));
  }
}
void Truncate(std::string& content, Random& random) {
  content.resize(random.Below(content.size()));
}
void ExchangePages(std::string& content, Random& random) {
  const size_t pages = content.size() / 4096;
  const size_t a = random.Below(pages), b = random.Below(pages);
  const std::string kept = content.substr(a * 4096, 4096);
  content.replace(a * 4096, 4096, content.substr(b * 4096, 4096));
  content.replace(b * 4096, 4096, kept);
}
void Empty(std::string& content, Random&) { content.clear(); }
void Garbage(std::string& content, Random& random) {
  for (char& c : content) c = static_cast<char>(random.Below(256));
}

struct Case {
  std::string name;
  std::string file;
  bool in_log;
  Spoil spoil;
  int times;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class JournalDamage : public testing::TestWithParam<Case> {};

TEST_P(JournalDamage, OpensWithATruePrefixAndSaysWhatIsMissing) {
  const Case& c = GetParam();
  for (const std::vector<uint64_t>& snapshots :
       {std::vector<uint64_t>{}, std::vector<uint64_t>{500, 1000}}) {
    TestFolder whole;
    MakeJournal(whole.path(), snapshots, c.in_log);
    for (int i = 0; i < c.times && !HasFailure(); ++i) {
      TestFolder folder;
      std::filesystem::copy(whole.path(), folder.path(), std::filesystem::copy_options::recursive);
      if (!std::filesystem::exists(folder / c.file)) continue;  // no snapshots in this one
      std::string content = Content(folder / c.file);
      Random random(1000 + i);
      c.spoil(content, random);
      ASSERT_TRUE(WriteFileAtomically(folder / c.file, content).ok());
      SCOPED_TRACE(absl::StrCat(snapshots.empty() ? "no" : "with", " snapshots, round ", i));
      CheckOpensWithATruePrefix(folder.path());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each, JournalDamage,
    testing::Values(Case{"DatabaseBit", "journal.db", false, FlipABit, 100},
                    Case{"DatabaseStretch", "journal.db", false, Overwrite, 60},
                    Case{"DatabaseCut", "journal.db", false, Truncate, 60},
                    Case{"DatabasePagesExchanged", "journal.db", false, ExchangePages, 40},
                    Case{"DatabaseEmpty", "journal.db", false, Empty, 1},
                    Case{"DatabaseGarbage", "journal.db", false, Garbage, 2},
                    Case{"DatabaseEmptyBelowItsLog", "journal.db", true, Empty, 1},
                    Case{"LogBit", "journal.db-wal", true, FlipABit, 100},
                    Case{"LogStretch", "journal.db-wal", true, Overwrite, 60},
                    Case{"LogGarbage", "journal.db-wal", true, Garbage, 3},
                    Case{"LogCut", "journal.db-wal", true, Truncate, 60},
                    Case{"SnapshotBit", "snapshot-1000", false, FlipABit, 40},
                    Case{"SnapshotCut", "snapshot-1000", false, Truncate, 10},
                    Case{"SnapshotEmpty", "snapshot-1000", false, Empty, 1}),
    [](const testing::TestParamInfo<Case>& info) { return info.param.name; });

class JournalRows : public testing::Test {
 protected:
  void SetUp() override { MakeJournal(folder_.path(), {}, false); }
  void Execute(const std::string& sql) {
    absl::StatusOr<Database> db =
        Database::Open(folder_ / "journal.db", Database::Mode::kReadWrite);
    ASSERT_TRUE(db.ok()) << db.status();
    const absl::Status status = db->Execute(sql);
    ASSERT_TRUE(status.ok()) << status;
  }
  // The journal ends before `first`, says so, and the rest is in the side file.
  void ExpectTailMoved(uint64_t first, uint64_t rows_moved) {
    const auto journal = OpenJournal(folder_.path());
    ASSERT_NE(journal, nullptr);
    EXPECT_EQ(journal->last_seq(), first - 1);
    ASSERT_EQ(journal->damages().size(), 1u);
    const Damage& damage = journal->damages()[0];
    EXPECT_EQ(damage.first_seq, first);
    EXPECT_EQ(damage.records_lost, kRecords - first + 1);
    EXPECT_EQ(damage.moved_to, folder_ / absl::StrCat("journal.damaged-", first));
    EXPECT_THAT(damage.what, HasSubstr(absl::StrCat("record ", first)));
    absl::StatusOr<Database> side = Database::Open(damage.moved_to, Database::Mode::kReadOnly);
    ASSERT_TRUE(side.ok()) << side.status();
    EXPECT_EQ(*side->QueryInt("SELECT count(*) FROM record"), static_cast<int64_t>(rows_moved));
  }
  TestFolder folder_;
};

TEST_F(JournalRows, AChangedRowIsFound) {
  Execute("UPDATE record SET payload = x'00' WHERE seq = 700");
  ExpectTailMoved(700, kRecords - 699);
}

TEST_F(JournalRows, AChangedTimeOrKindIsFound) {
  Execute("UPDATE record SET at = at + 1 WHERE seq = 1500");
  ExpectTailMoved(1500, 1);
}

TEST_F(JournalRows, AMissingRowIsFound) {
  Execute("DELETE FROM record WHERE seq = 700");
  ExpectTailMoved(700, kRecords - 700);
}

TEST_F(JournalRows, ARowPutInAgainInAnothersPlaceIsFound) {
  Execute(
      "UPDATE record SET (at, kind, payload, sum) = "
      "(SELECT at, kind, payload, sum FROM record WHERE seq = 699) WHERE seq = 700");
  ExpectTailMoved(700, kRecords - 699);
}

TEST_F(JournalRows, AReaderDoesNotRepairButSaysWhatIsBroken) {
  Execute("UPDATE record SET payload = x'00' WHERE seq = 700");
  const auto reader = OpenJournal(folder_.path(), /*read_only=*/true);
  absl::Status status;
  EXPECT_EQ(ReadableSeqs(*reader, 1, &status).size(), kRecords - 1) << "all but the one";
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("700"));
  EXPECT_TRUE(folder_.Names("journal.damaged").empty());
}

TEST_F(JournalRows, DamageBelowASnapshotCostsHistoryAlone) {
  { ASSERT_TRUE(OpenJournal(folder_.path())->WriteSnapshot(1000, "state after 1000").ok()); }
  Execute("DELETE FROM record WHERE seq BETWEEN 100 AND 199");
  const auto journal = OpenJournal(folder_.path());
  EXPECT_EQ(journal->last_seq(), kRecords);
  EXPECT_TRUE(journal->damages().empty());
  absl::Status status;
  // The row behind the hole cannot be proved without the one before it.
  EXPECT_EQ(ReadableSeqs(*journal, 1, &status).size(), kRecords - 101);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("records 100 to 200"));
}

TEST_F(JournalRows, ASnapshotOfAnotherJournalIsPutAside) {
  TestFolder other;
  {
    const auto journal = OpenJournal(other.path());
    WriteRecords(*journal, 800, 50, /*salt=*/1);
    ASSERT_TRUE(journal->WriteSnapshot(800, "another's").ok());
  }
  std::filesystem::copy(other / "snapshot-800", folder_ / "snapshot-800");
  const auto journal = OpenJournal(folder_.path());
  EXPECT_FALSE(journal->NewestSnapshot()->has_value());
  EXPECT_EQ(journal->last_seq(), kRecords);
  ASSERT_EQ(journal->damages().size(), 1u);
  EXPECT_THAT(journal->damages()[0].moved_to, StartsWith(folder_ / "snapshot-800.damaged"));
}

TEST_F(JournalRows, ALostDatabaseLeavesTheNewestSnapshot) {
  { ASSERT_TRUE(OpenJournal(folder_.path())->WriteSnapshot(1000, "state after 1000").ok()); }
  unlink((folder_ / "journal.db").c_str());
  auto journal = OpenJournal(folder_.path());
  EXPECT_EQ(journal->last_seq(), 1000u);
  EXPECT_THAT(AllDamages(*journal), HasSubstr("missing"));
  WriteRecords(*journal, 5);
  journal.reset();
  journal = OpenJournal(folder_.path());
  EXPECT_EQ(AllDamages(*journal), "");
  EXPECT_EQ(journal->last_seq(), 1005u);
}

TEST_F(JournalRows, PrunedRecordsWithoutASnapshotAreToldOf) {
  {
    const auto journal = OpenJournal(folder_.path());
    ASSERT_TRUE(journal->WriteSnapshot(1000, "a").ok());
    ASSERT_TRUE(journal->WriteSnapshot(1200, "b").ok());
    EXPECT_EQ(*journal->Prune({1}, 1000), 333u);
  }
  unlink((folder_ / "snapshot-1000").c_str());
  unlink((folder_ / "snapshot-1200").c_str());
  const auto journal = OpenJournal(folder_.path());
  EXPECT_EQ(journal->last_seq(), kRecords);
  EXPECT_THAT(AllDamages(*journal), HasSubstr("no snapshot is whole"));
}

TEST_F(JournalRows, AnOlderCopyPutInItsPlaceIsFound) {
  TestFolder older;
  { WriteRecords(*OpenJournal(older.path()), 1000); }
  std::filesystem::copy(older / "journal.db", folder_ / "journal.db",
                        std::filesystem::copy_options::overwrite_existing);
  auto journal = OpenJournal(folder_.path());
  EXPECT_EQ(journal->last_seq(), 1000u);
  ASSERT_EQ(journal->damages().size(), 1u);
  EXPECT_EQ(journal->damages()[0].records_lost, kRecords - 1000);
  EXPECT_THAT(journal->damages()[0].what, HasSubstr("records 1001 to 1500"));
  journal.reset();
  EXPECT_EQ(AllDamages(*OpenJournal(folder_.path())), "") << "told once";
}

TEST_F(JournalRows, ADamagedHeaderCostsNothing) {
  std::string content = Content(folder_ / "journal.db");
  content.replace(0, 4096, std::string(4096, 'x'));
  ASSERT_TRUE(WriteFileAtomically(folder_ / "journal.db", content).ok());
  const auto journal = OpenJournal(folder_.path());
  ASSERT_NE(journal, nullptr);
  EXPECT_EQ(journal->last_seq(), kRecords);
  EXPECT_THAT(AllDamages(*journal), HasSubstr("rebuilt with the records up to 1500"));
  EXPECT_EQ(folder_.Names("journal.grafted"), std::vector<std::string>{});
}

TEST_F(JournalRows, AFileCutInHalfLosesItsHalf) {
  std::string content = Content(folder_ / "journal.db");
  content.resize(content.size() / 2);
  ASSERT_TRUE(WriteFileAtomically(folder_ / "journal.db", content).ok());
  const auto journal = OpenJournal(folder_.path());
  ASSERT_NE(journal, nullptr);
  EXPECT_GT(journal->last_seq(), kRecords * 4 / 10);
  EXPECT_LT(journal->last_seq(), kRecords * 6 / 10);
  EXPECT_EQ(journal->damages().size(), 1u);
}

TEST_F(JournalRows, ARepairThatACrashCutShortIsFinished) {
  // As after the rebuilt database got its name, before it took the old one's place.
  TestFolder other;
  { WriteRecords(*OpenJournal(other.path()), 10); }
  std::filesystem::copy(other / "journal.db", folder_ / "journal.rebuilt");
  ASSERT_TRUE(WriteFileAtomically(folder_ / "journal.db-wal", "of the old one").ok());
  const auto journal = OpenJournal(folder_.path());
  EXPECT_EQ(journal->last_seq(), 10u);
  EXPECT_THAT(AllDamages(*journal), HasSubstr("records 11 to 1500"))
      << "whoever began the repair had no time to say so";
}

}  // namespace
}  // namespace longrun::control
