#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "cli/controller.h"

namespace longrun::cli {
namespace {

// In the child, between fork and exec: calls that are safe there alone.
[[noreturn]] void BecomeController(char** arguments, int errors, bool with_parent, pid_t parent) {
  // A session of its own: Ctrl-C is for the watching program, which then asks for what is to
  // happen.
  ::setsid();
  if (with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(0);  // it died before the line above
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_DFL);
  const int nothing = ::open("/dev/null", O_RDWR);
  ::dup2(nothing, 0);
  ::dup2(nothing, 1);
  ::dup2(errors, 2);
  ::close_range(3, ~0U, 0);
  ::execv("/proc/self/exe", arguments);
  ::_exit(127);
}

}  // namespace

absl::Status ControllerProcess::Start() {
  LR_RETURN_IF_ERROR(MakeFolder(options_.state.path));
  const std::string path = options_.state.controller_errors();
  const int errors = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (errors < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot create ", path));
  std::vector<std::string> words{"longrun",
                                 "up",
                                 "--embedded",
                                 "--state",
                                 options_.state.path,
                                 "--nodes",
                                 absl::StrCat(options_.nodes),
                                 "--accelerators-per-node",
                                 absl::StrCat(options_.accelerators_per_node),
                                 "--log-level",
                                 options_.log_level};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) BecomeController(arguments.data(), errors, with_parent_, parent);
  const int error = errno;
  ::close(errors);
  if (pid_ < 0) return absl::ErrnoToStatus(error, "cannot start a controller");
  return absl::OkStatus();
}

std::string ControllerProcess::Ended() {
  if (pid_ <= 0) return "";
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return "";
  pid_ = -1;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return WIFSIGNALED(status) ? absl::StrCat("was killed by signal ", WTERMSIG(status))
                             : absl::StrCat("exited with code ", exit_code_);
}

std::string ControllerProcess::Errors() const {
  const absl::StatusOr<std::string> text = ReadFile(options_.state.controller_errors(), 1 << 20);
  return text.ok() ? *text : "";
}

void ControllerProcess::Terminate() {
  if (pid_ > 0) ::kill(pid_, SIGTERM);
}

bool ControllerProcess::WaitOrKill(Duration patience) {
  const Stopwatch since;
  while (running()) {
    if (!Ended().empty()) return true;
    if (since.seconds() > patience.seconds()) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
      pid_ = -1;
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace longrun::cli
