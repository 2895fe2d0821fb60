// Who is in the gang, from whoever says so: Longrun's agent (membership changes, incarnation by
// incarnation), a launcher's environment variables (one membership for ever), or nobody (alone).
//
// Made by the worker's main thread and used by the training loop; reports may come from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "training/bell.h"
#include "training/gang.h"

namespace longrun::training {

class Membership {
 public:
  virtual ~Membership() = default;

  // The gang of the newest incarnation above `than` that has this process in it, building itself
  // since its membership arrived; waits for one. Cancelled: told to stop. Unavailable: there will
  // be none.
  virtual absl::StatusOr<std::shared_ptr<Gang>> Next(int64_t than) = 0;
  // Whether a membership newer than `incarnation` is here. Cheap.
  virtual bool Superseded(int64_t incarnation) const = 0;
  virtual bool stop_requested() const = 0;
  // The program was told to finish (SIGTERM). Not for signal handlers.
  virtual void RequestStop(const std::string& reason) = 0;

  virtual void Joined(int64_t incarnation, int64_t step, const std::string& source,
                      double seconds) = 0;
  virtual void Commit(int64_t incarnation, int64_t step, double loss, int64_t tokens,
                      double seconds) = 0;
  // The peers have been waited for for seconds.
  virtual void Waiting(int64_t incarnation) = 0;
  virtual void Broken(int64_t incarnation, const std::string& what) = 0;
  virtual void Checkpoint(int64_t step, double seconds, double stall) = 0;
  virtual void Metric(const std::string& name, double value, int64_t step) = 0;
  virtual void Say(const std::string& text) = 0;
  virtual void Done(int64_t step) = 0;
};

// From the environment: LONGRUN_SOCKET, else WORLD_SIZE with RANK, MASTER_ADDR and MASTER_PORT,
// else a gang of one. InvalidArgument names the variable that is wrong. `step`: last step applied.
// The process begins to be seen by its agent here: call it when the model is built and warm.
absl::StatusOr<std::unique_ptr<Membership>> MembershipFromEnvironment(std::shared_ptr<Bell> bell);

}  // namespace longrun::training
