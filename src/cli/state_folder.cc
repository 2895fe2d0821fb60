#include "cli/state_folder.h"

#include <sys/un.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"

namespace longrun::cli {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

absl::StatusOr<StateFolder> FindStateFolder(const std::string& flag) {
  std::string path = flag;
  if (path.empty()) path = Variable("LONGRUN_STATE");
  if (path.empty() && !Variable("XDG_STATE_HOME").empty()) {
    path = Variable("XDG_STATE_HOME") + "/longrun";
  }
  if (path.empty() && !Variable("HOME").empty()) {
    path = Variable("HOME") + "/.local/state/longrun";
  }
  if (path.empty()) {
    return absl::InvalidArgumentError(
        "neither HOME nor LONGRUN_STATE is set; say with --state DIR where to keep the state");
  }
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) {
    return absl::InternalError(absl::StrCat(path, ": ", error.message()));
  }
  path = absolute.lexically_normal().string();
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  const StateFolder folder{path};
  if (folder.socket().size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": too long for a socket in it (", sizeof(sockaddr_un::sun_path) - 14,
                     " bytes at most); choose a shorter folder with --state DIR"));
  }
  return folder;
}

}  // namespace longrun::cli
