#include "base/blocked_signals.h"

#include <ctime>

namespace longrun {

BlockedSignals::BlockedSignals(std::initializer_list<int> signals) {
  sigemptyset(&set_);
  for (const int signal : signals) sigaddset(&set_, signal);
  ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
}

int BlockedSignals::Wait(Duration patience) const {
  const timespec timeout{patience.us / 1'000'000, (patience.us % 1'000'000) * 1000};
  const int signal = ::sigtimedwait(&set_, nullptr, &timeout);
  return signal > 0 ? signal : 0;
}

}  // namespace longrun
