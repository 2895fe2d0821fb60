// absl::Status to gRPC's and back: the codes are the same numbers.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "base/status.h"

namespace longrun::api {

inline grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

inline absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace longrun::api
