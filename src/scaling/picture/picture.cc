#include "scaling/picture/picture.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "base/check.h"

namespace longrun::scaling {
namespace {

using Look = Series::Look;

constexpr int kPanelWidth = 720;
constexpr int kPanelHeight = 540;
constexpr int kTextLines = 30;

// A text as gnuplot reads it within single quotes: no markup, no way out.
std::string Quoted(const std::string& text) {
  std::string plain;
  for (const char c : text) plain += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  return absl::StrCat("'", absl::StrReplaceAll(plain, {{"'", "''"}}), "'");
}

struct Extent {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void Add(double value, bool logarithmic) {
    if (!std::isfinite(value) || (logarithmic && value <= 0)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

Extent ExtentOf(const Panel& panel, bool of_y) {
  Extent range;
  const bool logarithmic = (of_y ? panel.y : panel.x).logarithmic;
  for (const Series& series : panel.series) {
    for (const auto* values : {&series.y, &series.y_low, &series.y_high}) {
      if (!of_y) break;
      for (const double value : *values) range.Add(value, logarithmic);
    }
    for (const double value : series.x) {
      if (!of_y) range.Add(value, logarithmic);
    }
    if (of_y && series.look == Look::kBars) range.Add(0, logarithmic);
  }
  if (of_y && panel.zero_line) range.Add(0, logarithmic);
  return range;
}

// Some room on both sides, so that nothing sits on the frame.
Extent Widened(Extent range, const Axis& axis) {
  if (range.empty()) return {0, 1};
  if (!axis.names.empty()) return {0.3, static_cast<double>(axis.names.size()) + 0.7};
  if (axis.logarithmic) {
    const double room = std::max(1.02, std::pow(range.high / range.low, 0.05));
    return {range.low / room, range.high * room};
  }
  const double room = std::max(0.05 * (range.high - range.low), 1e-9 * std::abs(range.high));
  return {range.low - room, range.high + (room > 0 ? room : 1)};
}

// gnuplot's tics of a logarithmic axis are powers of ten: too few where there are less than two of
// them. Then: 1, 2, 5 times powers of ten, or even steps.
std::string LogTics(const Extent& range, const std::string& axis, bool text) {
  const double decades = std::log10(range.high / range.low);
  if (decades >= 2) {
    std::string powers;
    const int step = std::max(1, static_cast<int>(std::ceil(decades / 7)));
    const int last = static_cast<int>(std::floor(std::log10(range.high)));
    for (int power = static_cast<int>(std::ceil(std::log10(range.low))); power <= last;
         power += step) {
      absl::StrAppendFormat(&powers, text ? "%s'1e%d' 1e%d" : "%s'10^{%d}' 1e%d",
                            powers.empty() ? "" : ", ", power, power);
    }
    return absl::StrFormat("set %stics enhanced (%s)\n", axis, powers);
  }
  std::vector<double> tics;
  if (decades >= 1) {
    for (double unit = std::pow(10, std::floor(std::log10(range.low))); unit <= range.high;
         unit *= 10) {
      for (const double by : {1.0, 2.0, 5.0}) tics.push_back(by * unit);
    }
  } else {
    double step = std::pow(10, std::floor(std::log10((range.high - range.low) / 3)));
    const double steps = (range.high - range.low) / step;
    if (steps > 7) step *= steps > 15 ? 5 : 2;
    for (double at = std::ceil(range.low / step) * step; at <= range.high; at += step) {
      tics.push_back(at);
    }
  }
  std::string listed;
  for (const double tic : tics) {
    if (tic < range.low || tic > range.high) continue;
    absl::StrAppendFormat(&listed, "%s%.10g", listed.empty() ? "" : ", ", tic);
  }
  return absl::StrFormat("set %stics (%s)\nset format %s '%%g'\n", axis, listed, axis);
}

std::string AxisText(const Axis& axis, const Extent& found, const std::string& name, bool text) {
  const Extent range = Widened(found, axis);
  std::string out = absl::StrFormat("set %slabel %s noenhanced\n%s logscale %s\n", name,
                                    Quoted(axis.label), axis.logarithmic ? "set" : "unset", name);
  absl::StrAppendFormat(&out, "set %srange [%.10g:%.10g]\n", name, range.low, range.high);
  if (!axis.names.empty()) {
    std::string listed;
    for (size_t i = 0; i < axis.names.size(); ++i) {
      absl::StrAppend(&listed, i == 0 ? "" : ", ", Quoted(axis.names[i]), " ", i + 1);
    }
    return absl::StrCat(out, "set ", name, "tics (", listed, ")\n");
  }
  if (axis.logarithmic && !found.empty()) return out + LogTics(range, name, text);
  return absl::StrCat(out, "set ", name, "tics autofreq\nset format ", name, " '%g'\n");
}

std::string DataText(const Series& series, const std::string& name) {
  std::string out = absl::StrCat(name, " << EOD\n");
  const auto column = [](const std::vector<double>& values, size_t i) {
    return i < values.size() && std::isfinite(values[i]) ? absl::StrFormat("%.9g", values[i])
                                                         : std::string("NaN");
  };
  for (size_t i = 0; i < series.x.size(); ++i) {
    absl::StrAppend(&out, column(series.x, i), " ", column(series.y, i), " ",
                    column(series.y_low, i), " ", column(series.y_high, i), "\n");
  }
  return out + "EOD\n";
}

// Columns and style.
std::string StyleText(Look look) {
  switch (look) {
    case Look::kDots:
      return "using 1:2 with points pt 7 ps 0.6 lc rgb '#404040'";
    case Look::kRings:
      return "using 1:2 with points pt 6 ps 0.9 lw 1.2 lc rgb 'black'";
    case Look::kStars:
      return "using 1:2 with points pt 3 ps 1.8 lw 2 lc rgb 'black'";
    case Look::kLine:
      return "using 1:2 with lines lw 2 dt 1 lc rgb 'black'";
    case Look::kDashes:
      return "using 1:2 with lines lw 2 dt 2 lc rgb 'black'";
    case Look::kThinLine:
      return "using 1:2 with lines lw 0.8 dt 1 lc rgb '#707070'";
    case Look::kBand:
      return "using 1:2:4 with filledcurves fs solid noborder lc rgb '#d4d4d4'";
    case Look::kBars:
      return "using 1:2:(0.6) with boxes fs solid 1.0 border lc rgb 'black' lc rgb '#c8c8c8'";
    case Look::kWhiskers:
      return "using 1:2:3:4 with yerrorbars pt 7 ps 0.8 lw 1.5 lc rgb 'black'";
  }
  LR_CHECK(false);
  return "";
}

// The same where there are letters alone.
std::string LetterText(Look look) {
  switch (look) {
    case Look::kDots:
      return "using 1:2 with points pt 'o'";
    case Look::kRings:
      return "using 1:2 with points pt 'x'";
    case Look::kStars:
    case Look::kWhiskers:
      return "using 1:2 with points pt '*'";
    case Look::kLine:
      return "using 1:2 with points pt '-'";
    case Look::kDashes:
    case Look::kThinLine:
      return "using 1:2 with points pt '.'";
    case Look::kBars:
      return "using 1:2 with impulses";
    case Look::kBand:
      break;
  }
  LR_CHECK(false);
  return "";
}

const char* KeyText(Panel::Key key) {
  switch (key) {
    case Panel::Key::kTopRight:
      return "set key top right\n";
    case Panel::Key::kTopLeft:
      return "set key top left\n";
    case Panel::Key::kBottomRight:
      return "set key bottom right\n";
    case Panel::Key::kBottomLeft:
      return "set key bottom left\n";
    case Panel::Key::kNone:
      return "unset key\n";
  }
  return "";
}

// Bands lie below everything else, and letters cannot show them.
std::vector<const Series*> InDrawingOrder(const Panel& panel, bool text) {
  std::vector<const Series*> order;
  for (const bool bands : {true, false}) {
    for (const Series& series : panel.series) {
      if ((series.look == Look::kBand) != bands || (bands && text)) continue;
      order.push_back(&series);
    }
  }
  return order;
}

std::string PanelText(const Panel& panel, size_t number, bool text) {
  std::string out =
      absl::StrCat("set title ", Quoted(panel.title), " noenhanced\n", KeyText(panel.key));
  absl::StrAppend(&out, AxisText(panel.x, ExtentOf(panel, false), "x", text),
                  AxisText(panel.y, ExtentOf(panel, true), "y", text));
  std::vector<std::string> parts;
  const std::vector<const Series*> order = InDrawingOrder(panel, text);
  for (size_t i = 0; i < order.size(); ++i) {
    const std::string name = absl::StrCat("$panel", number, "_", i);
    out += DataText(*order[i], name);
    parts.push_back(absl::StrCat(name, " ",
                                 text ? LetterText(order[i]->look) : StyleText(order[i]->look),
                                 order[i]->label.empty() ? " notitle" : " title ",
                                 order[i]->label.empty() ? "" : Quoted(order[i]->label)));
  }
  if (panel.zero_line) parts.push_back("0 with lines lw 1 dt 3 lc rgb 'black' notitle");
  out += "plot ";
  for (size_t i = 0; i < parts.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : ", \\\n     ", parts[i]);
  }
  return out + "\n";
}

std::string TerminalText(const Canvas& canvas, int across, int down) {
  switch (canvas.kind) {
    case Canvas::Kind::kSvg:
      return absl::StrFormat(
          "set terminal svg size %d,%d font 'DejaVu Sans,13' background 'white'\n",
          across * kPanelWidth, down * kPanelHeight);
    case Canvas::Kind::kPng:
      return absl::StrFormat(
          "set terminal pngcairo size %d,%d font 'DejaVu Sans,11' background 'white'\n",
          across * kPanelWidth, down * kPanelHeight);
    case Canvas::Kind::kText:
      return absl::StrFormat("set terminal dumb size %d,%d\n", canvas.columns, kTextLines);
  }
  return "";
}

}  // namespace

std::string GnuplotScript(const Picture& picture, const Canvas& canvas) {
  LR_CHECK(!picture.panels.empty());
  const bool text = canvas.kind == Canvas::Kind::kText;
  const int panels = static_cast<int>(picture.panels.size());
  const int across = text || panels == 1 ? 1 : panels == 3 ? 3 : 2;
  const int down = text ? 1 : (panels + across - 1) / across;
  std::string out = "set encoding utf8\n" + TerminalText(canvas, across, down);
  if (!canvas.file.empty()) absl::StrAppend(&out, "set output ", Quoted(canvas.file), "\n");
  out +=
      "set border 3\nset tics nomirror out\nset key samplen 4 spacing 1.2 noautotitle noenhanced\n"
      "set bars small\n";
  // Letters go down the page one panel after another; there is no grid of them.
  const bool grid = !text && panels > 1;
  if (grid) absl::StrAppendFormat(&out, "set multiplot layout %d,%d\n", down, across);
  for (size_t i = 0; i < picture.panels.size(); ++i) {
    out += PanelText(picture.panels[i], i, text);
  }
  if (grid) out += "unset multiplot\n";
  return out;
}

Picture OnlyPanels(const Picture& picture, const std::vector<std::string>& names,
                   std::string* unknown) {
  unknown->clear();
  if (names.empty()) return picture;
  Picture chosen;
  for (const std::string& name : names) {
    const auto found = std::find_if(picture.panels.begin(), picture.panels.end(),
                                    [&](const Panel& panel) { return panel.name == name; });
    if (found != picture.panels.end()) {
      chosen.panels.push_back(*found);
    } else if (unknown->empty()) {
      *unknown = name;
    }
  }
  return chosen;
}

}  // namespace longrun::scaling
