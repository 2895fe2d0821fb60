// Why a run went as it did: each decision of Longrun with its reason and the facts that led to it.
#pragma once

#include <string>
#include <vector>

#include "cli/ask.h"

namespace longrun::cli {

struct Explained {
  uint64_t seq = 0;
  Time at;
  std::string decision;  // "swap-spare: incarnation 2 …"
  std::string name;      // of the event: IncarnationDecided
  struct Fact {
    uint64_t seq = 0;
    Time at;
    std::string text;
  };
  std::vector<Fact> facts;  // since the decision before, oldest first
};

// The decisions about the newest run of that name. What happened after the last one is an entry
// without a decision. Progress (steps, figures, joins) is left out; members are called by their
// rank.
std::vector<Explained> Explain(const std::vector<JournalEvent>& events, const std::string& run);

}  // namespace longrun::cli
