// The subcommands of longrun-worker: each adds its flags to `app` and leaves what to do in `*work`.
// What is returned holds the values of the flags and lives until the work is done.
#pragma once

#include <functional>
#include <memory>

#include "CLI/CLI.hpp"
#include "base/status.h"

namespace longrun::worker {

using Work = std::function<absl::Status()>;

std::shared_ptr<void> AddTrainingCommands(CLI::App* app, Work* work);
std::shared_ptr<void> AddServeCommand(CLI::App* app, Work* work);

}  // namespace longrun::worker
