// AddTrainingCommands in a longrun-worker that was built without libtorch.
#include "worker/commands.h"

namespace longrun::worker {

std::shared_ptr<void> AddTrainingCommands(CLI::App* app, Work* work) {
  app->footer("Built without libtorch: it serves on the CPU and does not train.");
  return nullptr;
}

}  // namespace longrun::worker
