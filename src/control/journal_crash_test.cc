// kill -9 while records are written: everything acknowledged is there, dense and whole.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/journal_test_folder.h"

namespace longrun::control {
namespace {

// Appends batches for ever; after each commit writes the last number down the pipe. Snapshots and
// prunes now and then, so that a kill meets those too. Runs in a child; never returns.
[[noreturn]] void WriteForEver(const std::string& folder, uint64_t seed, int acknowledge) {
  absl::StatusOr<std::unique_ptr<SqliteJournal>> journal = SqliteJournal::Open({.folder = folder});
  if (!journal.ok() || !(*journal)->damages().empty()) _exit(1);
  Random random(seed);
  while (true) {
    const uint64_t batch = 1 + random.Below(40);
    for (uint64_t i = 0; i < batch; ++i) {
      const uint64_t seq = (*journal)->last_seq() + (*journal)->pending() + 1;
      (*journal)->Append(TestTime(seq), static_cast<int32_t>(seq % 3), TestPayload(seq));
    }
    if (!(*journal)->Commit().ok()) _exit(2);
    const uint64_t last = (*journal)->last_seq();
    if (write(acknowledge, &last, sizeof(last)) != sizeof(last)) _exit(3);
    if (random.Below(20) == 0) {
      if (!(*journal)->WriteSnapshot(last, absl::StrCat("state after ", last)).ok()) _exit(4);
      if (!(*journal)->Prune({1}, last).ok()) _exit(5);
    }
  }
}

// The last number acknowledged by a child that is killed after `acknowledgements` of them. The kill
// meets the child wherever it is by then: writing, flushing, in a snapshot.
uint64_t RunAndKill(const std::string& folder, uint64_t seed, uint64_t acknowledgements) {
  int pipe_ends[2];
  EXPECT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) WriteForEver(folder, seed, pipe_ends[1]);
  close(pipe_ends[1]);
  uint64_t acknowledged = 0, last = 0;
  for (uint64_t i = 0; i < acknowledgements; ++i) {
    if (read(pipe_ends[0], &last, sizeof(last)) != sizeof(last)) break;
    acknowledged = last;
  }
  kill(child, SIGKILL);
  // What it acknowledged before the kill arrived counts as well.
  while (read(pipe_ends[0], &last, sizeof(last)) == sizeof(last)) acknowledged = last;
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
  return acknowledged;
}

void CheckWhole(const std::string& folder, uint64_t acknowledged) {
  const auto journal = OpenJournal(folder);
  ASSERT_NE(journal, nullptr);
  EXPECT_TRUE(journal->damages().empty()) << journal->damages()[0].what;
  ASSERT_GE(journal->last_seq(), acknowledged);
  const std::optional<Snapshot> snapshot = *journal->NewestSnapshot();
  uint64_t next = snapshot ? snapshot->seq + 1 : 1;
  if (snapshot) {
    EXPECT_EQ(snapshot->payload, absl::StrCat("state after ", snapshot->seq));
  }
  const absl::Status read = journal->Read(next, [&](const RecordView& record) {
    EXPECT_EQ(record.seq, next++);
    EXPECT_EQ(record.payload, TestPayload(record.seq));
    return true;
  });
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_EQ(next, journal->last_seq() + 1);
  absl::Status status;
  ReadableSeqs(*journal, 1, &status);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(JournalCrash, EveryAcknowledgedRecordOutlivesKillMinus9) {
  TestFolder folder;
  Random random(20260101);
  for (int i = 0; i < 40 && !HasFailure(); ++i) {
    const uint64_t acknowledged = RunAndKill(folder.path(), random.Next(), random.Below(30));
    CheckWhole(folder.path(), acknowledged);
  }
  EXPECT_GT(OpenJournal(folder.path())->last_seq(), 500u);
}

}  // namespace
}  // namespace longrun::control
