// The run's tokens, made once: whichever rank comes first trains the tokenizer and encodes the text
// into the run's folder, the others wait and map what it made. A lock on a file decides, so when
// that rank is killed the next one goes on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "model/tokenizer.h"
#include "training/token_file.h"
#include "training/train_config.h"

namespace longrun::training {

struct RunData {
  model::Tokenizer tokenizer;
  TokenFile train;
  std::optional<TokenFile> validation;
  // Of everything read: ranks that see different data must not train together.
  uint64_t hash = 0;
};

// `say`: gets a line for people when this process is the one that makes the data. Blocks while
// another process makes it.
absl::StatusOr<RunData> OpenRunData(const DataConfig& config, int64_t context,
                                    const std::string& run_folder,
                                    const std::function<void(const std::string&)>& say);

}  // namespace longrun::training
