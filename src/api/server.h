// The gRPC server of a controller: what users ask (proto/api.proto) and, beside it, the services
// that an engine brings for its agents.
//
// Owned by the program that runs the controller. Requests come on gRPC's threads; they use nothing
// but control::Service, which any thread may call.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "control/service.h"

namespace longrun::api {

struct ServerOptions {
  std::string socket;  // path of the Unix socket
  std::string version;
  bool embedded = false;  // it ends with the program that started it
};

class Server {
 public:
  // `control` and `others` must outlive it. AlreadyExists when somebody answers on the socket;
  // InvalidArgument when its path is longer than a socket's may be.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       control::Service* control,
                                                       const std::vector<grpc::Service*>& others);
  virtual ~Server() = default;

  // Somebody asked for the controller's end, and whether ranks are to be killed rather than asked.
  virtual bool shutdown_requested() const = 0;
  virtual bool kill_requested() const = 0;

  // Ends watches and answers no more questions; the other services stay until the destructor.
  virtual void StopWatches() = 0;
};

// Whether a process listens on the Unix socket.
bool Answers(const std::string& socket);

}  // namespace longrun::api
