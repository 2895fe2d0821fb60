// What only the journal on disk promises: the lock, readers beside a writer, migration, a full
// disk.
#include "control/sqlite_journal.h"

#include <sys/mount.h>
#include <unistd.h>

#include <fstream>

#include "base/file.h"
#include "control/journal_schema.h"
#include "control/journal_test_folder.h"
#include "gmock/gmock.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace longrun::control {
namespace {

using testing::HasSubstr;

TEST(SqliteJournal, ASecondControllerIsToldWhoHoldsTheFolder) {
  TestFolder folder;
  const auto journal = OpenJournal(folder.path());
  const absl::Status second = SqliteJournal::Open({.folder = folder.path()}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(second)) << second;
  EXPECT_THAT(std::string(second.message()), HasSubstr(absl::StrCat("process ", getpid())));
  EXPECT_THAT(std::string(second.message()), HasSubstr(folder.path()));
}

TEST(SqliteJournal, ALockFileLeftBehindIsNoObstacle) {
  TestFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "controller.lock", "1\n").ok());
  EXPECT_NE(OpenJournal(folder.path()), nullptr);
}

TEST(SqliteJournal, AFolderDeletedOrReplacedUnderItIsNoticedAtTheNextCommit) {
  for (const bool replaced : {false, true}) {
    const TestFolder folder;
    const std::string path = folder.path() + "/state";
    auto journal = OpenJournal(path);
    journal->Append(Time{1}, 0, "kept");
    ASSERT_TRUE(journal->Commit().ok());
    std::filesystem::remove_all(path);
    std::unique_ptr<SqliteJournal> another;
    if (replaced) another = OpenJournal(path);
    journal->Append(Time{2}, 0, "kept nowhere");
    const absl::Status status = journal->Commit();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("deleted or replaced"));
  }
}

TEST(SqliteJournal, AReaderBesideTheWriterSeesWhatIsCommitted) {
  TestFolder folder;
  const auto writer = OpenJournal(folder.path());
  WriteRecords(*writer, 10);
  const auto reader = OpenJournal(folder.path(), /*read_only=*/true);
  EXPECT_EQ(reader->last_seq(), 10u);
  WriteRecords(*writer, 5);
  ASSERT_TRUE(writer->WriteSnapshot(12, "twelve").ok());
  writer->Append(TestTime(16), 0, "not committed");
  absl::Status status;
  EXPECT_EQ(ReadableSeqs(*reader, 1, &status).size(), 15u);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ((*reader->NewestSnapshot())->payload, "twelve");
}

TEST(SqliteJournal, AReaderOfNoJournalIsToldSo) {
  TestFolder folder;
  const absl::Status status =
      SqliteJournal::Open({.folder = folder.path(), .read_only = true}).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder.path()));
}

TEST(SqliteJournal, AReaderSeesWhatAKilledWriterCommitted) {
  TestFolder folder, copy;
  const auto writer = OpenJournal(folder.path());
  WriteRecords(*writer, 10);
  // The files as a kill -9 leaves them: the log is not yet merged into the database.
  std::filesystem::copy(folder.path(), copy.path(), std::filesystem::copy_options::recursive);
  const auto reader = OpenJournal(copy.path(), /*read_only=*/true);
  EXPECT_EQ(reader->last_seq(), 10u);
}

TEST(SqliteJournal, AFolderThatCannotBeMadeIsNamed) {
  TestFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "file", "").ok());
  const absl::Status status = SqliteJournal::Open({.folder = folder / "file/state"}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("file/state"));
}

// A journal of format 1, as that version wrote it.
void WriteVersion1(const std::string& folder, uint64_t count, uint64_t damaged) {
  absl::StatusOr<Database> db = Database::Open(folder + "/journal.db", Database::Mode::kCreate);
  ASSERT_TRUE(db.ok()) << db.status();
  ASSERT_TRUE(db->Execute(SchemaOf(1)).ok());
  absl::StatusOr<Statement> insert = db->Prepare("INSERT INTO record VALUES(?,?,?,?,?)");
  ASSERT_TRUE(insert.ok()) << insert.status();
  for (uint64_t seq = 1; seq <= count; ++seq) {
    const std::string payload = TestPayload(seq);
    insert->Bind(1, static_cast<int64_t>(seq));
    insert->Bind(2, TestTime(seq).us);
    insert->Bind(3, static_cast<int64_t>(seq % 3));
    insert->BindBlob(4, payload);
    const uint64_t sum = XXH3_64bits(payload.data(), payload.size());
    insert->Bind(5, static_cast<int64_t>(seq == damaged ? sum + 1 : sum));
    ASSERT_TRUE(insert->Run().ok());
  }
}

TEST(SqliteJournal, AnOlderFormatIsBroughtUpToDate) {
  TestFolder folder;
  WriteVersion1(folder.path(), 100, /*damaged=*/0);
  const absl::Status read_only =
      SqliteJournal::Open({.folder = folder.path(), .read_only = true}).status();
  EXPECT_THAT(std::string(read_only.message()), HasSubstr("older Longrun"));
  for (uint64_t opening = 0; opening < 2; ++opening) {
    const auto journal = OpenJournal(folder.path());
    ASSERT_NE(journal, nullptr);
    EXPECT_TRUE(journal->damages().empty());
    EXPECT_EQ(journal->last_seq(), 100 + opening);
    EXPECT_TRUE(journal
                    ->Read(1,
                           [](const RecordView& record) {
                             EXPECT_EQ(record.payload, TestPayload(record.seq));
                             return true;
                           })
                    .ok());
    WriteRecords(*journal, 1);
  }
}

TEST(SqliteJournal, MigrationDoesNotMakeADamagedRecordGood) {
  TestFolder folder;
  WriteVersion1(folder.path(), 100, /*damaged=*/60);
  const auto journal = OpenJournal(folder.path());
  ASSERT_NE(journal, nullptr);
  EXPECT_EQ(journal->last_seq(), 59u);
  ASSERT_EQ(journal->damages().size(), 1u);
  EXPECT_EQ(journal->damages()[0].first_seq, 60u);
  EXPECT_EQ(journal->damages()[0].records_lost, 41u);
}

TEST(SqliteJournal, ANewerFormatIsRefusedAndLeftAlone) {
  TestFolder folder;
  { WriteRecords(*OpenJournal(folder.path()), 5); }
  {
    absl::StatusOr<Database> db = Database::Open(folder / "journal.db", Database::Mode::kReadWrite);
    ASSERT_TRUE(
        db->Execute(absl::StrCat("PRAGMA user_version=", kSchemaVersion + 1,
                                 ";PRAGMA application_id=", 0x4c524a00 + kSchemaVersion + 1))
            .ok());
  }
  const absl::StatusOr<std::string> before = ReadFile(folder / "journal.db");
  const absl::Status status = SqliteJournal::Open({.folder = folder.path()}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("newer Longrun"));
  EXPECT_EQ(*before, *ReadFile(folder / "journal.db"));
  EXPECT_TRUE(folder.Names("journal.damaged").empty());
}

// Fills the journal until there is no room; returns the records acknowledged.
uint64_t FillUp(SqliteJournal& journal) {
  for (int i = 0; i < 100000; ++i) {
    const uint64_t seq = journal.last_seq() + journal.pending() + 1;
    journal.Append(TestTime(seq), 0, TestPayload(seq));
    if (journal.pending() < 20) continue;
    const uint64_t before = journal.last_seq();
    const absl::Status status = journal.Commit();
    if (status.ok()) continue;
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_EQ(journal.last_seq(), before);
    EXPECT_EQ(journal.pending(), 20u);
    return journal.last_seq();
  }
  ADD_FAILURE() << "there was always room";
  return 0;
}

TEST(SqliteJournal, AFullDatabaseKeepsWhatWasAcknowledgedAndNothingElse) {
  TestFolder folder;
  uint64_t acknowledged = 0;
  {
    absl::StatusOr<std::unique_ptr<SqliteJournal>> journal =
        SqliteJournal::Open({.folder = folder.path(), .page_limit = 40});
    ASSERT_TRUE(journal.ok()) << journal.status();
    acknowledged = FillUp(**journal);
    EXPECT_GT(acknowledged, 100u);
    EXPECT_FALSE((*journal)->Commit().ok()) << "still full";
  }
  const auto journal = OpenJournal(folder.path());
  EXPECT_EQ(journal->last_seq(), acknowledged);
  EXPECT_TRUE(journal->damages().empty());
  WriteRecords(*journal, 100);
}

TEST(SqliteJournal, AFullDiskCostsNothingAndOnceThereIsRoomItGoesOn) {
  TestFolder folder;
  const std::string disk = folder / "disk";
  ASSERT_TRUE(MakeFolder(disk).ok());
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "mounting a small disk takes root";
  }
  {
    const std::string state = disk + "/state";
    auto journal = OpenJournal(state);
    WriteRecords(*journal, 200);
    ASSERT_TRUE(journal->WriteSnapshot(200, "small").ok());
    const std::string ballast = disk + "/ballast";
    std::ofstream(ballast) << std::string(300 << 10, 'x');
    const uint64_t acknowledged = FillUp(*journal);
    EXPECT_GT(acknowledged, 200u);
    EXPECT_FALSE(journal->WriteSnapshot(acknowledged, std::string(1 << 20, 'y')).ok());
    EXPECT_EQ((*journal->NewestSnapshot())->payload, "small");
    unlink(ballast.c_str());
    const absl::Status again = journal->Commit();
    EXPECT_TRUE(again.ok()) << again;
    EXPECT_EQ(journal->last_seq(), acknowledged + 20);
    journal.reset();
    journal = OpenJournal(state);
    EXPECT_EQ(journal->last_seq(), acknowledged + 20);
    EXPECT_TRUE(journal->damages().empty());
    absl::Status status;
    EXPECT_EQ(ReadableSeqs(*journal, 1, &status).size(), acknowledged + 20);
    EXPECT_TRUE(status.ok()) << status;
  }
  umount2(disk.c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace longrun::control
