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
[[noreturn]] void BecomeController(char** arguments, int errors, bool of_run, pid_t parent) {
  // A session of its own: Ctrl-C is for the watching program, which then asks for what is to
  // happen.
  ::setsid();
  if (of_run) {
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

ControllerProcess::~ControllerProcess() {
  if (errors_ >= 0) ::close(errors_);
}

absl::Status ControllerProcess::Start() {
  LR_RETURN_IF_ERROR(MakeFolder(options_.state.path));
  const std::string path = options_.state.controller_errors();
  if (errors_ >= 0) ::close(errors_);
  errors_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (errors_ < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot create ", path));
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
  if (options_.of_run) words.push_back("--of-run");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) BecomeController(arguments.data(), errors_, options_.of_run, parent);
  const int error = errno;
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
  std::string text(1 << 20, '\0');
  const ssize_t n = ::pread(errors_, text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
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
