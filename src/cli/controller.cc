#include "cli/controller.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "api/server.h"
#include "base/blocked_signals.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/exit_code.h"
#include "cli/version.h"
#include "control/service.h"
#include "control/sqlite_journal.h"
#include "engine/local/local_engine.h"

namespace longrun::cli {
namespace {

// Ranks that were asked to end may save a checkpoint for so long.
constexpr Duration kGrace = Duration::Seconds(10);

engine::LocalOptions EngineOptions(const ControllerOptions& options) {
  engine::LocalOptions local;
  local.state_folder = options.state.path;
  local.control_address = absl::StrCat("unix:", options.state.socket());
  local.agent_command = {std::filesystem::read_symlink("/proc/self/exe").string(), "agent"};
  local.nodes = options.nodes;
  local.accelerators_per_node = options.accelerators_per_node;
  local.log_level = options.log_level;
  // Who started it starts it again at once, or is dead as well.
  if (options.of_run) local.orphan_after = Duration::Seconds(30);
  return local;
}

void ReportDamage(const control::Journal& journal) {
  for (const control::Damage& damage : journal.damages()) {
    log::warn("the journal: {}", damage.what);
    std::fprintf(stderr, "longrun: warning: %s\n", damage.what.c_str());
  }
}

// Serves until it is told to end; true: ranks are to be killed, not asked.
bool Serve(const BlockedSignals& signals, const api::Server& server,
           const control::Service& control, absl::Status& failure) {
  while (!server.shutdown_requested()) {
    const int signal = signals.Wait(Duration::Millis(100));
    if (signal != 0) {
      log::info("ending: signal {}", signal);
      return false;
    }
    const absl::Status health = control.health();
    if (!health.ok() && !absl::IsResourceExhausted(health)) {
      failure = health;
      return false;
    }
  }
  return server.kill_requested();
}

int Fail(const absl::Status& status, int code) {
  log::error("{}", std::string(status.message()));
  PrintError(status);
  return code;
}

int ServeJournal(const ControllerOptions& options, const BlockedSignals& signals,
                 control::SqliteJournal* journal) {
  engine::LocalEngine engine(EngineOptions(options));
  if (const absl::Status started = engine.Start(); !started.ok()) return Fail(started, kInternal);
  control::Service control(journal, &engine, control::Config{});
  absl::Status failure;
  bool kill = false;
  {
    // Nobody is answered before control has read the journal.
    absl::Status started = control.Start({.version = kVersion, .pid = ::getpid()});
    if (!started.ok()) {
      engine.Shutdown("the controller could not start", kGrace);
      return Fail(started, kInternal);
    }
    auto server = api::Server::Start(
        {.socket = options.state.socket(), .version = kVersion, .embedded = options.of_run},
        &control, {engine.service()});
    if (!server.ok()) {
      control.Stop();
      engine.Shutdown("the controller could not listen", kGrace);
      return Fail(server.status(), kUnavailable);
    }
    if (!options.embedded) {
      std::printf("longrun %s: %d nodes with %d accelerators each; state in %s\n", kVersion,
                  options.nodes, options.accelerators_per_node, options.state.path.c_str());
      std::fflush(stdout);
    }
    log::info("serving on {}", options.state.socket());
    kill = Serve(signals, **server, control, failure);
    (*server)->StopWatches();
    control.Stop();
  }
  engine.Shutdown("the controller ends", kill ? Duration{} : kGrace);
  ::unlink(options.state.socket().c_str());
  log::info("ended");
  return failure.ok() ? kOk : Fail(failure, kInternal);
}

}  // namespace

int RunController(const ControllerOptions& options) {
  const BlockedSignals signals({SIGTERM, SIGINT, SIGHUP});
  ::prctl(PR_SET_NAME, "longrun");  // one that was started as /proc/self/exe is called "exe"
  for (const std::string& folder : {options.state.path, options.state.runs()}) {
    if (const absl::Status made = MakeFolder(folder); !made.ok()) {
      PrintError(made);
      return kInternal;
    }
  }
  SetUpLog("controller", options.embedded ? options.state.controller_log() : "",
           options.embedded ? options.log_level : "warning");
  auto journal = control::SqliteJournal::Open({.folder = options.state.path});
  if (!journal.ok()) {
    return Fail(journal.status(), absl::IsFailedPrecondition(journal.status()) ? kBusy : kInternal);
  }
  ReportDamage(**journal);
  return ServeJournal(options, signals, journal->get());
}

}  // namespace longrun::cli
