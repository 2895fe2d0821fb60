// Where a controller keeps what it knows, and where its clients find it.
#pragma once

#include <string>

#include "base/status.h"

namespace longrun::cli {

struct StateFolder {
  std::string path;  // absolute

  std::string socket() const { return path + "/control.sock"; }
  std::string runs() const { return path + "/runs"; }
  std::string run(const std::string& name) const { return runs() + "/" + name; }
  std::string controller_log() const { return path + "/controller.log"; }
  std::string controller_errors() const { return path + "/controller.err"; }
};

// `flag` (--state), else $LONGRUN_STATE, else $XDG_STATE_HOME/longrun, else ~/.local/state/longrun.
// InvalidArgument where none of them is set or the path is too long for a socket in it.
absl::StatusOr<StateFolder> FindStateFolder(const std::string& flag);

}  // namespace longrun::cli
