// A controller as its clients see it. Messages of errors are the controller's own, fit for users;
// Unavailable: it does not answer (any more).
//
// Any thread may call; Watch blocks its caller.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "proto/api.grpc.pb.h"

namespace longrun::api {

class Client {
 public:
  // Connects when it is first used.
  explicit Client(const std::string& socket);

  absl::StatusOr<v1::SubmitReply> Submit(const v1::SubmitRequest& request);
  // Waits up to `patience` for a controller that is just starting.
  absl::StatusOr<v1::StatusReply> Status(const std::string& run, Duration patience);
  absl::Status Cancel(const std::string& run, const std::string& reason);
  absl::Status Fault(const v1::FaultRequest& request);
  absl::Status Shutdown(bool kill);

  // Calls `on_view` for each view until the run is over (OK), `on_view` returns false (OK) or the
  // stream breaks (Unavailable).
  absl::Status Watch(const std::string& run,
                     const std::function<bool(const v1::RunView&)>& on_view);

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Runs::Stub> stub_;
};

}  // namespace longrun::api
