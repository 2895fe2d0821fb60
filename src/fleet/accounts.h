// Where a run's held time went, in slot-microseconds (one accelerator slot held for a microsecond).
// Whole numbers, so that the parts add up to what was held exactly, whatever the order of events.
#pragma once

#include <cstdint>

namespace longrun::fleet {

struct Accounts {
  int64_t held = 0;
  int64_t productive = 0;  // steps committed for the first time
  int64_t recomputed = 0;  // steps in flight when a fault struck, and steps done a second time
  int64_t restarting = 0;  // from a fault (or from placement, at the start) until all have joined
  int64_t waiting = 0;     // spares and newcomers beside the gang; a gang that waits for a member
  int64_t degraded = 0;    // productive, but with fewer replicas than asked for

  int64_t Sum() const { return productive + recomputed + restarting + waiting + degraded; }
  // Productive over held time, 0 to 1; a replica that works in a smaller gang is productive.
  double Goodput() const {
    return held == 0 ? 0 : static_cast<double>(productive + degraded) / static_cast<double>(held);
  }
  template <class A>
  void Visit(A& a) {
    a("held", held);
    a("productive", productive);
    a("recomputed", recomputed);
    a("restarting", restarting);
    a("waiting", waiting);
    a("degraded", degraded);
  }
};

}  // namespace longrun::fleet
