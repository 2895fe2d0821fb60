// Rate limits as pure functions of time: a bucket holds at most a minute's worth, fills evenly, and
// what does not fit says when it will.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace longrun::serving {

class TokenBucket {
 public:
  // Full at first. `per_minute` > 0.
  TokenBucket(double per_minute, Time now) : capacity_(per_minute), level_(per_minute), at_(now) {}

  double capacity() const { return capacity_; }
  double Level(Time now) const {
    const double filled = std::max(0.0, (now - at_).seconds()) * capacity_ / 60;
    return std::min(capacity_, level_ + filled);
  }
  // Until `amount` (at most the capacity) is there.
  double WaitSeconds(double amount, Time now) const {
    return std::max(0.0, (std::min(amount, capacity_) - Level(now)) * 60 / capacity_);
  }
  // May leave a debt, which fills up first. Negative gives back.
  void Take(double amount, Time now) {
    level_ = std::min(capacity_, Level(now) - amount);
    at_ = std::max(at_, now);
  }

 private:
  double capacity_;
  double level_;
  Time at_;
};

}  // namespace longrun::serving
