// How a run looks while it is watched: a panel redrawn in place on a terminal, plain lines
// elsewhere.
//
// One thread owns a Display. It writes whole frames at once, so that nothing flickers.
#pragma once

#include <cstdio>
#include <deque>
#include <memory>
#include <string>

#include "base/time.h"
#include "proto/api.pb.h"

namespace longrun::cli {

// Figures of the last seconds, from the views as they come.
class Pace {
 public:
  void Add(const api::v1::RunView& view);
  double tokens_per_second() const;
  // Until the last step; negative: unknown.
  double seconds_left() const;

 private:
  struct Point {
    Time at;
    int64_t step = 0;
    int64_t tokens = 0;
  };
  std::deque<Point> points_;
  int64_t steps_left_ = -1;
};

class Display {
 public:
  virtual ~Display() = default;
  // A line of the story; stays.
  virtual void Tell(const std::string& line) = 0;
  // How the run stands now; replaces what was shown before.
  virtual void Show(const api::v1::RunView& view) = 0;
  // Takes what does not stay off the screen.
  virtual void Finish() = 0;

  // For `out`: a panel where it is a terminal that can move its cursor, else plain lines.
  static std::unique_ptr<Display> For(FILE* out);
};

// The lines of the panel, none wider than `width` columns. `colour`: with ANSI colours.
std::vector<std::string> Panel(const api::v1::RunView& view, const Pace& pace, size_t width,
                               bool colour);
// One line of the same, for logs.
std::string PlainLine(const api::v1::RunView& view, const Pace& pace);

}  // namespace longrun::cli
