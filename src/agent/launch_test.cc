#include "agent/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/process.h"
#include "gtest/gtest.h"

namespace longrun::agent {
namespace {

class LaunchTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/longrun-launch-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    null_ = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    order_.output_fd = order_.error_fd = null_;
    order_.environment = {"PATH=/usr/bin:/bin:" + folder_};
  }
  void TearDown() override {
    ::close(null_);
    std::filesystem::remove_all(folder_);
  }
  std::string File(const std::string& name, const std::string& content, mode_t mode) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << content;
    ::chmod(path.c_str(), mode);
    return path;
  }
  Launched Run(std::vector<std::string> command) {
    order_.command = std::move(command);
    return Launch(order_);
  }
  int ExitCode(const Launched& launched) {
    int status = 0;
    EXPECT_EQ(::waitpid(launched.pid, &status, 0), launched.pid) << launched.what;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  std::string folder_;
  int null_ = -1;
  LaunchOrder order_;
};

TEST_F(LaunchTest, FindsProgramsInThePathOfTheRank) {
  File("only-here", "#!/bin/sh\nexit 7\n", 0755);
  EXPECT_EQ(ExitCode(Run({"only-here"})), 7);
  EXPECT_EQ(ExitCode(Run({"/bin/sh", "-c", "exit 5"})), 5);
}

TEST_F(LaunchTest, SaysWhyAProgramCannotRun) {
  const Launched missing = Run({"no-such-program"});
  EXPECT_EQ(missing.code, 127);
  EXPECT_NE(missing.what.find("no-such-program: no such command"), std::string::npos);

  const Launched no_file = Run({folder_ + "/absent"});
  EXPECT_EQ(no_file.code, 127);
  EXPECT_NE(no_file.what.find("No such file"), std::string::npos);

  const std::string folder = folder_ + "/a-folder";
  std::filesystem::create_directory(folder);
  EXPECT_EQ(Run({folder}).code, 126);
  EXPECT_NE(Run({folder}).what.find("it is a folder"), std::string::npos);

  const Launched plain = Run({File("plain", "#!/bin/sh\n", 0644)});
  EXPECT_EQ(plain.code, 126);
  EXPECT_NE(plain.what.find("chmod +x"), std::string::npos) << plain.what;

  File("unreadable-by-name", "#!/bin/sh\n", 0644);
  EXPECT_EQ(Run({"unreadable-by-name"}).code, 126);

  const Launched no_format = Run({File("text", "hello\n", 0755)});
  EXPECT_EQ(no_format.code, 126);
  EXPECT_NE(no_format.what.find("first line"), std::string::npos) << no_format.what;

  const Launched interpreter = Run({File("script", "#!/nowhere/python\n", 0755)});
  EXPECT_EQ(interpreter.code, 126);
  EXPECT_NE(interpreter.what.find("interpreter"), std::string::npos) << interpreter.what;
  order_.working_folder = folder_;
  EXPECT_EQ(Run({"./script"}).what,
            "cannot execute ./script: the interpreter or loader that it names does not exist");

  order_.environment.push_back("LONG=" + std::string(300'000, 'x'));
  EXPECT_NE(Run({"/bin/true"}).what.find("spec.env"), std::string::npos);
}

TEST_F(LaunchTest, StartsInTheWorkingFolderAndNamesOneThatIsNotThere) {
  File("here.sh", "#!/bin/sh\nexit 4\n", 0755);
  order_.working_folder = folder_;
  EXPECT_EQ(ExitCode(Run({"./here.sh"})), 4);
  order_.working_folder = "/nowhere";
  const Launched launched = Run({"/bin/true"});
  EXPECT_EQ(launched.code, 126);
  EXPECT_NE(launched.what.find("/nowhere"), std::string::npos);
}

TEST_F(LaunchTest, TheProgramLeadsASessionAndInheritsNoDescriptorsOrSignals) {
  const int stray = ::open("/dev/null", O_RDONLY);  // deliberately without O_CLOEXEC
  ::signal(SIGPIPE, SIG_IGN);
  const Launched launched =
      Run({"/bin/sh", "-c",
           "test \"$(ls /proc/$$/fd | wc -l)\" -le 4 || exit 1;"
           "test \"$(cut -d' ' -f5,6 /proc/$$/stat)\" = \"$$ $$\" || exit 2;"
           "grep -q 'SigIgn:.*0000000000000000' /proc/self/status || exit 3;"
           "grep -q 'SigBlk:.*0000000000000000' /proc/self/status || exit 4"});
  ::close(stray);
  ::signal(SIGPIPE, SIG_DFL);
  EXPECT_EQ(ExitCode(launched), 0);
}

TEST_F(LaunchTest, TheProgramDiesWithItsAgent) {
  int report[2];
  ASSERT_EQ(::pipe(report), 0);
  const pid_t agent = ::fork();
  if (agent == 0) {
    const Launched launched = Run({"/bin/sleep", "1000"});
    [[maybe_unused]] const ssize_t n = ::write(report[1], &launched.pid, sizeof launched.pid);
    ::pause();
  }
  int pid = -1;
  ASSERT_EQ(::read(report[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  ASSERT_GT(pid, 0);
  const auto record = RecordOf(pid, 0);
  ASSERT_TRUE(record.ok());
  ::kill(agent, SIGKILL);
  ::waitpid(agent, nullptr, 0);
  for (int i = 0; i < 500 && record->alive(); ++i) ::usleep(10'000);
  EXPECT_FALSE(record->alive());
}

}  // namespace
}  // namespace longrun::agent
