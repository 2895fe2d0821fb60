#include "base/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace longrun {
namespace {

class ProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/longrun-process-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
  }
  void TearDown() override {
    for (const int pid : children_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }
  // A process in a group of its own, with `entry` in its environment.
  int Sleeper(const std::string& entry) {
    int ready[2];
    EXPECT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setpgid(0, 0);
      ::execle("/bin/sleep", "sleep", "1000", nullptr,
               std::vector<const char*>{entry.c_str(), nullptr}.data());
      ::_exit(1);
    }
    ::close(ready[1]);
    char byte;
    EXPECT_EQ(::read(ready[0], &byte, 1), 0);  // the exec has closed it
    ::close(ready[0]);
    children_.push_back(pid);
    return pid;
  }
  bool Alive(int pid) {
    const auto info = ReadProcess(pid);
    return info && info->state != 'Z';
  }
  void Write(const std::string& name, const ProcessRecord& record) {
    ASSERT_TRUE(WriteProcessRecord(folder_ + "/" + name, record).ok());
  }

  std::string folder_;
  std::vector<int> children_;
};

TEST_F(ProcessTest, ReadsWhatProcSays) {
  const auto self = ReadProcess(::getpid());
  ASSERT_TRUE(self.has_value());
  EXPECT_EQ(self->parent, ::getppid());
  EXPECT_EQ(self->group, ::getpgrp());
  EXPECT_EQ(self->session, ::getsid(0));
  EXPECT_GT(self->start_ticks, 0u);
  EXPECT_FALSE(ReadProcess(-1).has_value());
  const int sleeper = Sleeper("MARK=one");
  EXPECT_TRUE(EnvironmentHas(sleeper, "MARK=one"));
  EXPECT_FALSE(EnvironmentHas(sleeper, "MARK=on"));
  EXPECT_FALSE(EnvironmentHas(sleeper, "ARK=one"));
}

TEST_F(ProcessTest, ARecordComesBackAsItWas) {
  const auto record = RecordOf(::getpid(), 1234567890123456789u);
  ASSERT_TRUE(record.ok());
  Write("self", *record);
  const auto read = ReadProcessRecord(folder_ + "/self");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->pid, ::getpid());
  EXPECT_EQ(read->tag, 1234567890123456789u);
  EXPECT_TRUE(read->alive());
}

TEST_F(ProcessTest, ARecordOfANumberThatIsInUseAgainIsNotAlive) {
  ProcessRecord record = *RecordOf(::getpid(), 0);
  record.start_ticks += 1;
  EXPECT_FALSE(record.alive());
  record = *RecordOf(::getpid(), 0);
  record.boot = "another boot";
  EXPECT_FALSE(record.alive());
}

TEST_F(ProcessTest, DamagedRecordsAreRefused) {
  for (const std::string text : {"", "12", "0 0 b 0", "1 5 b 0", "x 5 b 0", "12 5 b", "-3 5 b 0"}) {
    FILE* file = fopen((folder_ + "/bad").c_str(), "w");
    fputs(text.c_str(), file);
    fclose(file);
    EXPECT_FALSE(ReadProcessRecord(folder_ + "/bad").ok()) << text;
  }
  EXPECT_TRUE(KillRecorded(folder_, "", Duration::Seconds(1)).ok());
}

TEST_F(ProcessTest, KillsTheGroupsThatAreRecordedAndNoOthers) {
  const int recorded = Sleeper("A=1");
  const int other = Sleeper("A=1");
  Write("1", *RecordOf(recorded, 0));
  const auto killed = KillRecorded(folder_, "", Duration::Seconds(10));
  ASSERT_TRUE(killed.ok()) << killed.status();
  EXPECT_EQ(*killed, 1);
  EXPECT_FALSE(Alive(recorded));
  EXPECT_TRUE(Alive(other));
  EXPECT_TRUE(std::filesystem::is_empty(folder_)) << "the record stays";
}

TEST_F(ProcessTest, ANumberThatAnotherProcessHasTakenIsLeftAlone) {
  const int innocent = Sleeper("A=1");
  ProcessRecord stale = *RecordOf(innocent, 0);
  stale.start_ticks -= 1;
  Write("1", stale);
  ProcessRecord other_boot = *RecordOf(innocent, 0);
  other_boot.boot = "another boot";
  Write("2", other_boot);
  const auto killed = KillRecorded(folder_, "", Duration::Seconds(10));
  ASSERT_TRUE(killed.ok());
  EXPECT_EQ(*killed, 0);
  EXPECT_TRUE(Alive(innocent));
}

TEST_F(ProcessTest, KillsWhatBearsTheMarkWhereverItWent) {
  const std::string mark = "LONGRUN_SOCKET=" + folder_ + "/rank.sock";
  const int marked = Sleeper(mark);
  const int similar = Sleeper(mark + "2");
  const auto killed = KillRecorded(folder_ + "/nowhere", mark, Duration::Seconds(10));
  ASSERT_TRUE(killed.ok());
  EXPECT_EQ(*killed, 1);
  EXPECT_FALSE(Alive(marked));
  EXPECT_TRUE(Alive(similar));
}

}  // namespace
}  // namespace longrun
