// How long `longrun --help` takes, from fork to exit, as a shell sees it. Target: a median under 20
// ms.
//
//   build/bin/cli_start_bench [times]
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/time.h"

extern char** environ;

namespace {

// Seconds; negative when the program could not be run or failed.
double StartOnce(const std::string& program) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  std::string name = "longrun", flag = "--help";
  char* arguments[] = {name.data(), flag.data(), nullptr};
  const longrun::Stopwatch stopwatch;
  pid_t pid = 0;
  int status = 0;
  const bool ran =
      ::posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments, environ) == 0 &&
      ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  const double seconds = stopwatch.seconds();
  posix_spawn_file_actions_destroy(&actions);
  return ran ? seconds : -1;
}

}  // namespace

int main(int argc, char** argv) {
  const int times = std::max(1, argc > 1 ? std::atoi(argv[1]) : 50);
  const std::string program =
      (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "longrun").string();
  std::vector<double> seconds;
  for (int i = 0; i < times; ++i) {
    seconds.push_back(StartOnce(program));
    if (seconds.back() < 0) {
      std::fprintf(stderr, "cannot run %s; build it first\n", program.c_str());
      return 1;
    }
  }
  std::sort(seconds.begin(), seconds.end());
  std::printf(
      "longrun --help: median %.1f ms, fastest %.1f ms, slowest %.1f ms of %d (target 20 ms)\n",
      1e3 * seconds[seconds.size() / 2], 1e3 * seconds.front(), 1e3 * seconds.back(), times);
  return 0;
}
