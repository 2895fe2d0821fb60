// Pictures as data, and the text that gnuplot draws them from. They are told apart by shape, dash
// and shade of grey alone, so that they print in black and white. Pure; any thread.
#pragma once

#include <string>
#include <vector>

namespace longrun::scaling {

// Values that are not finite, or not above 0 on an axis of logarithms, are left out.
struct Series {
  enum class Look {
    kDots,   // filled circles
    kRings,  // empty circles
    kStars,  // large: what the picture is about
    kLine,
    kDashes,  // a line beyond what was measured
    kThinLine,
    kBand,      // grey between y and y_high
    kBars,      // filled boxes
    kWhiskers,  // from y_low to y_high, a dot at y
  };
  Look look = Look::kDots;
  std::string label;  // in the key; "" stays out of it
  std::vector<double> x;
  std::vector<double> y;
  std::vector<double> y_low;   // kWhiskers
  std::vector<double> y_high;  // kBand, kWhiskers
};

struct Axis {
  std::string label;
  bool logarithmic = false;
  std::vector<std::string> names;  // of 1, 2, …: words instead of numbers
};

struct Panel {
  std::string name;  // "line": by which it can be asked for
  std::string title;
  Axis x;
  Axis y;
  bool zero_line = false;
  enum class Key { kTopRight, kTopLeft, kBottomRight, kBottomLeft, kNone } key = Key::kTopRight;
  std::vector<Series> series;
};

struct Picture {
  std::vector<Panel> panels;  // one, three in a row, or a grid of two columns
};

struct Canvas {
  enum class Kind { kSvg, kPng, kText } kind = Kind::kSvg;
  std::string file;   // written by gnuplot; empty: its standard output
  int columns = 100;  // of a terminal, for kText
};

// The whole script, data included; fit for gnuplot 5.
std::string GnuplotScript(const Picture& picture, const Canvas& canvas);

// The panels of those names, in that order; all where there are none. `unknown`: the first name
// that no panel has, or "".
Picture OnlyPanels(const Picture& picture, const std::vector<std::string>& names,
                   std::string* unknown);

}  // namespace longrun::scaling
