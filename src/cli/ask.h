// Answers for subcommands that ask: from the controller, or from the journal where none is running.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/state_folder.h"
#include "control/journal.h"
#include "fleet/event.h"
#include "proto/api.pb.h"

namespace longrun::cli {

// All runs, or one. `from_journal`: no controller answered.
struct Answer {
  api::v1::StatusReply reply;
  bool from_journal = false;
};
absl::StatusOr<Answer> AskStatus(const StateFolder& state, const std::string& run);

struct JournalEvent {
  uint64_t seq = 0;
  fleet::Event event;
};
// The events of the journal, read beside a live controller or without one. NotFound where there is
// no journal. Damaged records are left out and told of in `warning`.
absl::StatusOr<std::vector<JournalEvent>> ReadEvents(const StateFolder& state,
                                                     std::string* warning);

}  // namespace longrun::cli
