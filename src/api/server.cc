#include "api/server.h"

#include <grpc/support/time.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "api/runs_service.h"

namespace longrun::api {
namespace {

class GrpcServer : public Server {
 public:
  GrpcServer(control::Service* control, const ServerOptions& options)
      : runs_(control, options.version, options.embedded) {}
  ~GrpcServer() override {
    runs_.Stop();
    // Streams of agents never end by themselves: the deadline cuts them.
    if (server_) {
      server_->Shutdown(
          gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(200, GPR_TIMESPAN)));
    }
  }

  absl::Status Listen(const std::string& socket, const std::vector<grpc::Service*>& others) {
    grpc::ServerBuilder builder;
    int bound = 0;
    builder.AddListeningPort(absl::StrCat("unix:", socket), grpc::InsecureServerCredentials(),
                             &bound);
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.RegisterService(&runs_);
    for (grpc::Service* service : others) builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    if (server_ != nullptr) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("cannot listen on ", socket,
                                               "; is its folder writable, and on a local disk?"));
  }

  bool shutdown_requested() const override { return runs_.shutdown_requested(); }
  bool kill_requested() const override { return runs_.kill_requested(); }
  void StopWatches() override { runs_.Stop(); }

 private:
  RunsService runs_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

bool Answers(const std::string& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, socket.data(), socket.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool answers = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return answers;
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      control::Service* control,
                                                      const std::vector<grpc::Service*>& others) {
  if (options.socket.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.socket, ": ", options.socket.size(),
                     " bytes are too long for a socket's path (", sizeof(sockaddr_un::sun_path) - 1,
                     " at most); choose a shorter state folder with --state"));
  }
  if (Answers(options.socket)) {
    return absl::AlreadyExistsError(
        absl::StrCat(options.socket,
                     " is in use: another program listens there. End it, or choose "
                     "another state folder with --state"));
  }
  auto server = std::make_unique<GrpcServer>(control, options);
  LR_RETURN_IF_ERROR(server->Listen(options.socket, others));
  return server;
}

}  // namespace longrun::api
