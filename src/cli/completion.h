// Scripts that complete `longrun` in shells, made from the commands there are.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace longrun::cli {

struct CommandShape {
  std::string name;
  std::string description;
  std::vector<std::string> options;  // "--json"
  // What a word that is no option may be.
  enum class Words { kNone, kFiles, kRuns, kChoices } words = Words::kNone;
  std::vector<std::string> choices;
};

// For "bash", "zsh" or "fish".
absl::StatusOr<std::string> CompletionScript(const std::string& shell,
                                             const std::vector<CommandShape>& commands);

}  // namespace longrun::cli
