// `longrun up` and `longrun down`.
#include <sys/file.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "absl/strings/str_cat.h"
#include "api/client.h"
#include "api/server.h"
#include "cli/commands.h"
#include "cli/controller.h"
#include "cli/exit_code.h"
#include "cli/state_folder.h"
#include "nlohmann/json.hpp"

namespace longrun::cli {
namespace {

int Detach(const ControllerOptions& options, bool json) {
  ControllerProcess controller(options);
  if (const absl::Status started = controller.Start(); !started.ok()) {
    PrintError(started);
    return kInternal;
  }
  api::Client client(options.state.socket());
  const Stopwatch since;
  while (since.seconds() < 60) {
    const auto status = client.Status("", Duration::Millis(100));
    const std::string ended = controller.Ended();
    if (!ended.empty()) {
      const std::string errors = controller.Errors();
      std::fprintf(stderr, "%s", errors.c_str());
      if (errors.empty()) std::fprintf(stderr, "longrun: the controller %s\n", ended.c_str());
      return controller.exit_code() > 0 ? controller.exit_code() : kInternal;
    }
    // Another controller may answer while ours has yet to find the folder locked.
    if (!status.ok() || status->controller_pid() != controller.pid()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      continue;
    }
    const nlohmann::ordered_json answer{{"pid", status->controller_pid()},
                                        {"state", options.state.path},
                                        {"log", options.state.controller_log()}};
    if (json) {
      std::printf("%s\n", answer.dump().c_str());
    } else {
      std::printf("the controller runs as process %lld; log: %s\nlongrun down ends it\n",
                  static_cast<long long>(status->controller_pid()),
                  options.state.controller_log().c_str());
    }
    return kOk;
  }
  std::fprintf(stderr, "longrun: the controller does not answer; see %s\n",
               options.state.controller_log().c_str());
  return kUnavailable;
}

}  // namespace

int Up(const UpFlags& flags) {
  const absl::StatusOr<StateFolder> state = FindStateFolder(flags.common.state);
  if (!state.ok()) {
    PrintError(state.status());
    return kUsage;
  }
  const ControllerOptions options{.state = *state,
                                  .nodes = flags.nodes,
                                  .accelerators_per_node = flags.accelerators_per_node,
                                  .embedded = flags.embedded,
                                  .of_run = flags.of_run,
                                  .log_level = flags.log_level};
  return flags.detach ? Detach(options, flags.common.json) : RunController(options);
}

int Down(const CommonFlags& flags) {
  const absl::StatusOr<StateFolder> state = FindStateFolder(flags.state);
  if (!state.ok()) {
    PrintError(state.status());
    return kUsage;
  }
  const bool runs = api::Answers(state->socket());
  if (runs) {
    api::Client client(state->socket());
    const absl::Status asked = client.Shutdown(false);
    if (!asked.ok()) {
      PrintError(asked);
      return ExitCodeOf(asked);
    }
    const Stopwatch since;
    while (api::Answers(state->socket())) {
      if (since.seconds() > 60) {
        std::fprintf(stderr, "longrun: the controller does not end; see %s\n",
                     state->controller_log().c_str());
        return kUnavailable;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  if (flags.json) {
    std::printf("%s\n", nlohmann::json({{"ended", runs}}).dump().c_str());
  } else {
    std::printf(runs ? "ended; runs under way go on with the next longrun up\n"
                     : "no controller is running here\n");
  }
  return kOk;
}

}  // namespace longrun::cli
