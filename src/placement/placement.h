// Where processes go: gangs whole or not at all, then spares and replacements.
//
// A pure function of the state. Runs are served by priority, then by age; a run that does not fit
// does not hold up a later one that does. A gang takes the fewest nodes (the fullest offers first),
// within one domain where the manifest asks for that (`topology.within`), in the domain that it
// leaves the least room in. Spares go where `topology.spares` says, and to another node than the
// gang's by preference, so that one node's death does not take both.
#pragma once

#include <vector>

#include "base/codec.h"
#include "base/random.h"
#include "base/time.h"
#include "fleet/event.h"
#include "fleet/state.h"

namespace longrun::placement {

struct Config {
  // Between two spares or replacements that died before they were ready: doubled each time.
  Duration reserve_backoff = Duration::Millis(500);
  Duration longest_reserve_backoff = Duration::Minutes(1);
  // MASTER_PORT of an incarnation is one of these, another one each time.
  int first_master_port = 20'000;
  int master_ports = 10'000;
};

std::vector<fleet::EventBody> Decide(const fleet::State& state, const Config& config, Time now,
                                     Random& random);

}  // namespace longrun::placement
