#include <sys/un.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "engine/local/local_engine.h"

namespace longrun::engine {

absl::StatusOr<std::unique_ptr<grpc::Server>> BuildServer(
    const std::string& address, const std::vector<grpc::Service*>& services) {
  std::string socket = address;
  const bool is_socket = socket.starts_with("unix:");
  if (is_socket) {
    socket.erase(0, 5);
    if (socket.size() >= sizeof(sockaddr_un::sun_path)) {
      return absl::InvalidArgumentError(absl::StrCat(
          socket, " is too long for a Unix socket (at most ", sizeof(sockaddr_un::sun_path) - 1,
          " bytes): choose a state folder with a shorter path"));
    }
  }
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(-1);
  // Two servers on one port would each get half of the agents.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, ": is it in use, or its folder missing?"));
  }
  if (is_socket) {
    // Whoever may connect may start processes in this user's name.
    std::error_code error;
    std::filesystem::permissions(
        socket, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
    if (error) {
      return absl::PermissionDeniedError(
          absl::StrCat("cannot restrict ", socket, " to its owner: ", error.message()));
    }
  }
  return server;
}

}  // namespace longrun::engine
