#include "cli/exit_code.h"

#include <cstdio>
#include <string>

namespace longrun::cli {

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kOk;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kUnavailable;
    case absl::StatusCode::kInvalidArgument:
      return kBadInput;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return kFailed;
    default:
      return kInternal;
  }
}

void PrintError(const absl::Status& status) {
  std::fprintf(stderr, "longrun: %s\n", std::string(status.message()).c_str());
}

}  // namespace longrun::cli
