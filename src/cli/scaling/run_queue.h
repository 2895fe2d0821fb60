// Many runs, several at once, on a controller of its own: each is brought to its end, whatever has
// become of it before. One thread owns a RunQueue and calls it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/client.h"
#include "base/status.h"
#include "cli/controller.h"
#include "cli/state_folder.h"

namespace longrun::cli {

struct QueuedRun {
  std::string name;
  std::string manifest;  // YAML
};

class RunQueue {
 public:
  // `parallel` runs of one accelerator at once.
  RunQueue(StateFolder state, int parallel);
  // Ends the controller; what is under way saves a checkpoint, and goes on with the next RunQueue
  // of the same state.
  ~RunQueue();

  // Starts the controller. AlreadyExists: another one is at work in the state folder.
  absl::Status Open();

  using OnDone = std::function<absl::Status(const api::v1::RunView&)>;
  using OnFrame = std::function<void(const std::vector<api::v1::RunView>& under_way)>;
  // Returns when all have succeeded; in their order they are begun. `on_done` hears of each, of
  // those that succeeded earlier too, and `on_frame` ten times a second. An error of on_done is
  // passed on; but NotFound, that the run left nothing to collect, has it begun once more.
  // Cancelled: Ctrl-C. FailedPrecondition: a run failed, and why.
  absl::Status RunAll(const std::vector<QueuedRun>& runs, const OnDone& on_done,
                      const OnFrame& on_frame);

 private:
  absl::Status StartController();
  absl::Status TendController();
  absl::Status Submit(const QueuedRun& run);
  // Whether the run, in a final phase, is done with; false: it is to be begun again.
  absl::StatusOr<bool> Collect(const api::v1::RunView& view, const OnDone& on_done);

  const StateFolder state_;
  const int parallel_;
  api::Client client_;
  std::unique_ptr<ControllerProcess> controller_;
  std::map<std::string, int> submitted_;  // by us, how often
  int restarts_ = 0;                      // of the controller, with no answer between
};

}  // namespace longrun::cli
