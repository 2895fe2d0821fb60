// Signals that are asked for, not handled: blocked in the thread that makes this and in those that
// it starts from then on, so that it alone hears of them. Made before any other thread; the signals
// stay blocked after it.
#pragma once

#include <signal.h>

#include <initializer_list>

#include "base/time.h"

namespace longrun {

class BlockedSignals {
 public:
  explicit BlockedSignals(std::initializer_list<int> signals);

  // The one that came, within `patience` from now or before; 0: none.
  int Wait(Duration patience) const;
  const sigset_t& set() const { return set_; }

 private:
  sigset_t set_;
};

}  // namespace longrun
