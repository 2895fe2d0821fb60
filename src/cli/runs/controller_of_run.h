// The controller that a `longrun run` uses: one that answers in the state folder, else one of its
// own, started again where it dies and ended with the run. Where the one in use belongs to another
// `longrun run` whose run is over, one of our own takes the fleet over.
//
// Owned and called by the thread of `longrun run`. What fails is told as an exit code; why was
// printed.
#pragma once

#include <memory>
#include <string>

#include "api/client.h"
#include "cli/controller.h"
#include "cli/runs/display.h"
#include "cli/state_folder.h"
#include "fleet/spec.h"

namespace longrun::cli {

struct FleetSize {
  int nodes = 3;
  int accelerators_per_node = 2;
};

class ControllerOfRun {
 public:
  // `client` and `display` must outlive it. `fleet`: of a controller of our own. `interrupted`:
  // whether the user wants no more of it, asked while it waits.
  ControllerOfRun(const StateFolder& state, api::Client* client, Display* display, FleetSize fleet,
                  bool (*interrupted)());

  // `detach`: the run is to go on without us, which needs a controller that does.
  int Connect(const fleet::RunSpec& spec, bool detach);
  // Now and then while the run goes on; `silent_seconds`: for how long no view has come.
  int Tend(double silent_seconds, const std::string& manifest);
  // A view came: the controller is well.
  void Seen() { restarts_ = 0; }
  // Nothing of ours stays running. `kill`: ranks are not asked to save a checkpoint first.
  void End(bool kill);
  // Ends with us.
  bool own() const { return own_ != nullptr; }

 private:
  int Fail(const absl::Status& status, int code);
  int FailOf(const std::string& ended);
  absl::Status CheckFits(const fleet::RunSpec& spec) const;
  int Start(const fleet::RunSpec& spec);
  absl::Status StartOwn();
  void Borrow(const api::v1::StatusReply& status);
  int TakeOver();
  int TendOwn();

  const StateFolder state_;
  api::Client* client_;
  Display* display_;
  FleetSize fleet_;
  bool (*interrupted_)();
  std::unique_ptr<ControllerProcess> own_;  // null: somebody else's is used
  bool embedded_ = false;                   // somebody else's belongs to another `longrun run`
  bool told_ = false;                       // that it is being taken over
  int restarts_ = 0;
};

}  // namespace longrun::cli
