// The folder of a model that somebody names: a folder, or a run whose model it is.
#pragma once

#include <string>

#include "base/status.h"

namespace longrun::worker {

// `model` where it is a folder with a config.json; else RUNS_DIR/`model`/model, where `runs_dir`
// ("": there are none) is the folder of all runs. NotFound and InvalidArgument say what `model` is
// instead, and what would be right.
absl::StatusOr<std::string> FindModelFolder(const std::string& model, const std::string& runs_dir);

}  // namespace longrun::worker
