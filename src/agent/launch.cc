#include "agent/launch.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace longrun::agent {
namespace {

// Where the child failed, told through a pipe that the exec closes.
struct Failure {
  enum Stage : int { kParent, kFolder, kStreams, kProgram } stage;
  int error;
};

// The file to execute: itself where it names a path, else the first of PATH that can be executed.
std::string Resolve(const LaunchOrder& order) {
  const std::string& program = order.command[0];
  if (program.find('/') != std::string::npos) return program;
  std::string refused;
  for (const std::string& entry : order.environment) {
    if (!absl::StartsWith(entry, "PATH=")) continue;
    const std::vector<std::string> folders = absl::StrSplit(entry.substr(5), ':');
    for (const std::string& folder : folders) {
      const std::string path = absl::StrCat(folder.empty() ? "." : folder, "/", program);
      struct stat status;
      if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
      if (::access(path.c_str(), X_OK) == 0) return path;
      if (refused.empty()) refused = path;
    }
  }
  return refused;  // executing it will say why not
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

[[noreturn]] void Fail(int report, Failure::Stage stage) {
  const Failure failure{stage, errno};
  [[maybe_unused]] const ssize_t n = ::write(report, &failure, sizeof failure);
  ::_exit(127);
}

// Between fork and exec of a program with threads: nothing but system calls.
[[noreturn]] void Become(const LaunchOrder& order, const char* path, char* const* argv,
                         char* const* envp, pid_t parent, int report) {
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) Fail(report, Failure::kParent);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int input = ::open("/dev/null", O_RDONLY);
  if (input < 0 || ::dup2(input, 0) < 0 || ::dup2(order.output_fd, 1) < 0 ||
      ::dup2(order.error_fd, 2) < 0) {
    Fail(report, Failure::kStreams);
  }
  ::syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
  if (!order.working_folder.empty() && ::chdir(order.working_folder.c_str()) != 0) {
    Fail(report, Failure::kFolder);
  }
  ::execve(path, argv, envp);
  Fail(report, Failure::kProgram);
}

Launched Explain(const LaunchOrder& order, const std::string& path, const Failure& failure) {
  const std::string error = ::strerror(failure.error);
  switch (failure.stage) {
    case Failure::kParent:
      return {-1, 126, "the agent ended while it started the process"};
    case Failure::kStreams:
      return {-1, 126, absl::StrCat("cannot set up standard streams: ", error)};
    case Failure::kFolder:
      return {-1, 126,
              absl::StrCat("cannot enter the working folder ", order.working_folder, ": ", error)};
    case Failure::kProgram:
      break;
  }
  // A relative path counts from the rank's working folder, not from the agent's.
  struct stat status;
  const std::string file = path[0] == '/' ? path : absl::StrCat(order.working_folder, "/", path);
  const bool there = ::stat(file.c_str(), &status) == 0;
  if (failure.error == ENOENT && there) {
    return {-1, 126,
            absl::StrCat("cannot execute ", path,
                         ": the interpreter or loader that it names does not exist")};
  }
  if (failure.error == EACCES && there && S_ISDIR(status.st_mode)) {
    return {-1, 126, absl::StrCat("cannot execute ", path, ": it is a folder")};
  }
  if (failure.error == EACCES && there && (status.st_mode & 0111) == 0) {
    return {
        -1, 126,
        absl::StrCat("cannot execute ", path, ": no program; chmod +x ", path, " makes it one")};
  }
  if (failure.error == E2BIG) {
    return {-1, 126,
            absl::StrCat("cannot execute ", path,
                         ": the command's arguments and environment (spec.env) are too long")};
  }
  if (failure.error == ENOEXEC) {
    return {-1, 126,
            absl::StrCat("cannot execute ", path,
                         ": not a program (a script needs a first line like #!/bin/sh)")};
  }
  const bool missing = failure.error == ENOENT || failure.error == ENOTDIR;
  return {-1, missing ? 127 : 126, absl::StrCat("cannot execute ", path, ": ", error)};
}

// A fork whose child starts in the cgroup: moving it there later would cost some 10 ms, in which
// the kernel waits for all of its cores. A kernel that cannot do it starts the child outside.
pid_t ForkInto(int cgroup_fd) {
  if (cgroup_fd >= 0) {
    clone_args arguments{};
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = SIGCHLD;
    arguments.cgroup = static_cast<uint64_t>(cgroup_fd);
    const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid >= 0) return static_cast<pid_t>(pid);
  }
  return ::fork();
}

}  // namespace

Launched Launch(const LaunchOrder& order) {
  const std::string path = Resolve(order);
  if (path.empty()) {
    return {-1, 127,
            absl::StrCat("cannot execute ", order.command[0],
                         ": no such command in the PATH; give its path, or install it")};
  }
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) {
    return {-1, 126, absl::StrCat("cannot make a pipe: ", ::strerror(errno))};
  }
  const std::vector<char*> argv = Pointers(order.command);
  const std::vector<char*> envp = Pointers(order.environment);
  const pid_t parent = ::getpid();
  const pid_t pid = ForkInto(order.cgroup_fd);
  if (pid == 0) Become(order, path.c_str(), argv.data(), envp.data(), parent, report[1]);
  const int fork_error = errno;
  ::close(report[1]);
  Failure failure{};
  ssize_t n = 0;
  if (pid > 0) {
    while ((n = ::read(report[0], &failure, sizeof failure)) < 0 && errno == EINTR) {
    }
  }
  ::close(report[0]);
  if (pid < 0) {
    return {-1, 126, absl::StrCat("cannot start a process: ", ::strerror(fork_error))};
  }
  if (n != sizeof failure) return {pid, 0, ""};
  ::waitpid(pid, nullptr, 0);
  return Explain(order, path, failure);
}

}  // namespace longrun::agent
