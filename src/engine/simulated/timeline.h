// Virtual time: what is to happen, in the order of its time; at the same time, in the order in
// which it was asked for. So one seed gives one history.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "base/time.h"

namespace longrun::engine {

class Timeline {
 public:
  explicit Timeline(Time start) : now_(start) {}
  Time now() const { return now_; }

  // `what` happens after `delay` (at least 0) of virtual time.
  void After(Duration delay, std::function<void()> what);

  // Does the next thing that is due by `until` and returns true; otherwise the time is `until`.
  bool Step(Time until);

 private:
  struct Entry {
    Time at;
    uint64_t order;
    std::function<void()> what;
  };
  static bool Later(const Entry& a, const Entry& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }

  Time now_;
  uint64_t next_order_ = 0;
  std::vector<Entry> heap_;
};

}  // namespace longrun::engine
