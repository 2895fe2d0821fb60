// longrun-worker: the part of Longrun that runs on the accelerators. It trains models and serves
// them.
#include <execinfo.h>
#include <unistd.h>
#include <csignal>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/log.h"
#include "worker/commands.h"

namespace longrun::worker {
namespace {

// EX_CONFIG: the command line, the configuration or an input is wrong. Longrun does not try again
// what ends with it.
constexpr int kWrongConfiguration = 78;

// `longrun serve` becomes this program and is then spoken of by that name.
const char* NameOf(const char* first_word) {
  return std::string_view(first_word) == "longrun" ? "longrun" : "longrun-worker";
}

// 0: done. 1: the work failed.
int ExitCode(const char* name, const absl::Status& status) {
  if (status.ok()) return 0;
  fprintf(stderr, "%s: %s\n", name, std::string(status.message()).c_str());
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) ? kWrongConfiguration : 1;
}

// A crash leaves its stack in the rank's log before it ends the process as it would have anyway.
void ShowStackOnCrash() {
  struct sigaction action = {};
  action.sa_handler = [](int signal) {
    void* frames[64];
    const int count = backtrace(frames, 64);
    backtrace_symbols_fd(frames, count, 2);
    raise(signal);
  };
  action.sa_flags = SA_RESETHAND | SA_NODEFER;
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    sigaction(signal, &action, nullptr);
  }
  void* frame[1];
  backtrace(frame, 1);  // loads what it needs now, not in the handler
}

int Run(int argc, char** argv) {
  const char* name = NameOf(argv[0]);
  CLI::App app("Trains and serves models; the part of Longrun that runs on the accelerators.",
               name);
  app.require_subcommand(1);
  Work work;
  const auto training = AddTrainingCommands(&app, &work);
  const auto serving = AddServeCommand(&app, &work);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongConfiguration;
  }
  return ExitCode(name, work());
}

}  // namespace
}  // namespace longrun::worker

int main(int argc, char** argv) {
  longrun::worker::ShowStackOnCrash();
  const char* level = getenv("LONGRUN_LOG");
  longrun::SetUpLog("longrun-worker", "", level != nullptr ? level : "info");
  int code = 1;
  try {
    code = longrun::worker::Run(argc, argv);
  } catch (const std::exception& error) {
    // Libraries report what they cannot do (memory, devices) this way.
    fprintf(stderr, "%s: %s\n", longrun::worker::NameOf(argv[0]), error.what());
  }
  fflush(stdout);
  fflush(stderr);
  // Threads that still wait for dead peers must not hold up the end.
  _exit(code);
}
