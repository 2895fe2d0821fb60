#include "engine/simulated/timeline.h"

#include <algorithm>

#include "base/check.h"

namespace longrun::engine {

void Timeline::After(Duration delay, std::function<void()> what) {
  LR_CHECK_GE(delay.us, 0);
  heap_.push_back({now_ + delay, next_order_++, std::move(what)});
  std::push_heap(heap_.begin(), heap_.end(), Later);
}

bool Timeline::Step(Time until) {
  if (heap_.empty() || heap_.front().at > until) {
    now_ = std::max(now_, until);
    return false;
  }
  std::pop_heap(heap_.begin(), heap_.end(), Later);
  Entry entry = std::move(heap_.back());
  heap_.pop_back();
  now_ = entry.at;
  entry.what();
  return true;
}

}  // namespace longrun::engine
