// A range that holds a value with some probability. Plain; any thread.
#pragma once

namespace longrun::scaling {

struct Range {
  double lo = 0;
  double hi = 0;
  bool Contains(double x) const { return lo <= x && x <= hi; }
};

}  // namespace longrun::scaling
