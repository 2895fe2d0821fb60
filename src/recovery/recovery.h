// What to do when a run is not whole: the cheapest rung of the ladder that should work.
//
// A pure function of the state. Assumptions: a protocol-speaking survivor keeps its parameters and
// optimizer state in memory whatever happens to its peers, so any of them can give a newcomer all
// it needs; a program that does not speak the protocol can only be started again as a whole gang,
// from its own checkpoint; a rank that hangs is as good as dead; exit codes 126, 127 (no such
// command) and 78 (EX_CONFIG) would come again however often it is tried.
//
// The ladder, first match:
//   cancelled              stop all, then the run is over
//   all ranks ended well   the run succeeded
//   hopeless               the run failed: a command that cannot start, a wrong configuration,
//                          too many failures in a row without a step of progress
//   hung                   kill it; from then on it is a lost rank
//   no step for too long   kill the ranks that do not wait for their peers; all where none is left
//                          to suspect
//   never said hello       the same, in a run whose other processes did: it hangs while it starts
//   no group forms         kill the ranks that keep it from forming, as far as they can be told
//   some ended, the others wait for them   stop what is left; placement starts the gang anew
//   none lost, but a collective broke   the same ranks form a new group (exception)
//   none lost, gang short, members ready   take them in (grow)
//   ranks lost, members ready beside the gang   they take the places (swap-spare;
//                          restart-process where the member was placed after the fault)
//   ranks lost, elastic    go on without the replicas (shrink)
//   ranks lost             wait for a member, placed meanwhile by placement
//   nobody left, or no protocol   stop what is left; placement starts the gang anew (restart-gang)
#pragma once

#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "fleet/event.h"
#include "fleet/state.h"

namespace longrun::recovery {

struct Config {
  // A collective that broke while no rank is seen to die: how long to wait for the news of a death.
  Duration broken_patience = Duration::Millis(750);
  // Between two starts of a gang or of a spare that failed without progress: doubled each time.
  Duration backoff = Duration::Seconds(1);
  Duration longest_backoff = Duration::Minutes(1);
  // Where the manifest says nothing of `hungAfter`: this long, or this many measured steps.
  Duration hung_after = Duration::Minutes(2);
  int64_t hung_after_steps = 100;
  // From a process's start to its hello, which comes after it has loaded its code and data.
  Duration hello_within = Duration::Minutes(10);
};

std::vector<fleet::EventBody> Decide(const fleet::State& state, const Config& config, Time now,
                                     Random& random);

// How long to wait before the next try after `failures` in a row; none for the first.
Duration Backoff(const Config& config, int failures);

}  // namespace longrun::recovery
