// What the live view shows: figures to lines of text, and nothing of terminals.
#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/units.h"
#include "cli/runs/display.h"
#include "cli/runs/story.h"

namespace longrun::cli {
namespace {

using api::v1::MemberView;
using api::v1::RunView;

constexpr Duration kWindow = Duration::Seconds(6);

// Text whose columns are counted, since colours take none and a letter of several bytes takes one.
class Line {
 public:
  Line(size_t width, bool colour) : left_(width), colour_(colour) {}

  Line& Add(const std::string& text, const char* colour = "") {
    const bool coloured = colour_ && *colour != '\0' && left_ > 0;
    if (coloured) absl::StrAppend(&text_, "\x1b[", colour, "m");
    for (size_t i = 0; i < text.size();) {
      size_t n = 1;
      while (i + n < text.size() && (text[i + n] & 0xC0) == 0x80) ++n;
      if (left_ == 0) break;
      // No control character of a program's text reaches the terminal.
      const unsigned char c = static_cast<unsigned char>(text[i]);
      text_ += c < 32 || c == 127 ? " " : text.substr(i, n);
      --left_;
      i += n;
    }
    if (coloured) text_ += "\x1b[0m";
    return *this;
  }

  size_t left() const { return left_; }
  const std::string& text() const { return text_; }

 private:
  size_t left_;
  bool colour_;
  std::string text_;
};

const char* PhaseColour(const RunView& view) {
  if (view.phase() == "running" || view.phase() == "succeeded") return "32";
  if (view.phase() == "recovering" || view.phase() == "stopping") return "33";
  return view.phase() == "failed" ? "31" : "36";
}

std::string Steps(const RunView& view) {
  if (view.total_steps() <= 0) return Counted(view.step(), "step");
  return absl::StrFormat("%s/%s steps  %d%%", FormatCount(view.step()),
                         FormatCount(view.total_steps()),
                         std::min<int64_t>(100, view.step() * 100 / view.total_steps()));
}

std::string Eta(const Pace& pace) {
  const double seconds = pace.seconds_left();
  if (seconds <= 0) return "";
  return absl::StrCat("  ", FormatDuration(Duration::Seconds(std::ceil(seconds))), " left");
}

void AddBar(Line& line, const RunView& view, size_t columns) {
  const double part =
      view.total_steps() <= 0
          ? 0
          : std::clamp(static_cast<double>(view.step()) / static_cast<double>(view.total_steps()),
                       0.0, 1.0);
  const size_t full = static_cast<size_t>(std::lround(part * static_cast<double>(columns)));
  std::string done, rest;
  for (size_t i = 0; i < full; ++i) done += "━";
  for (size_t i = full; i < columns; ++i) rest += "─";
  line.Add(done, "32").Add(rest, "90");
}

std::string HeadLine(const RunView& view, const Pace& pace, size_t width, bool colour) {
  const std::string tail = "  " + Steps(view) + Eta(pace);
  Line line(width, colour);
  line.Add(view.run(), "1").Add("  ").Add(view.phase(), PhaseColour(view)).Add("  ");
  const size_t room = line.left() > tail.size() ? line.left() - tail.size() : 0;
  if (view.total_steps() > 0 && room >= 10) AddBar(line, view, std::min<size_t>(room, 40));
  return line.Add(tail).text();
}

std::string FigureText(const RunView& view, const Pace& pace) {
  std::vector<std::string> parts;
  if (view.has_loss()) parts.push_back(absl::StrFormat("loss %.4f", view.loss()));
  const double rate = pace.tokens_per_second();
  if (rate > 0) parts.push_back(FormatCount(std::llround(rate)) + " tokens/s");
  parts.push_back(absl::StrFormat("goodput %.1f%%", 100 * view.goodput()));
  parts.push_back(Counted(view.committed_steps_lost(), "step") + " lost");
  if (view.recoveries_size() > 0) {
    parts.push_back(view.recoveries_size() == 1
                        ? "1 recovery"
                        : absl::StrCat(view.recoveries_size(), " recoveries"));
  }
  if (view.checkpoint_step() >= 0)
    parts.push_back(absl::StrCat("checkpoint ", view.checkpoint_step()));
  return absl::StrJoin(parts, "   ");
}

std::string MemberLine(const RunView& view, size_t width, bool colour) {
  Line line(width, colour);
  const auto add = [&](bool ranks) {
    bool first = true;
    int shown = 0;
    for (const MemberView& member : view.members()) {
      if ((member.rank() >= 0) != ranks) continue;
      // A gang of a thousand does not fit a line.
      if (++shown > 12) continue;
      line.Add(first ? (ranks ? "ranks  " : "   spares  ") : " · ", "90");
      first = false;
      if (ranks) line.Add(absl::StrCat(member.rank(), " "));
      const bool well = member.phase() == "ready" || member.phase() == "started";
      line.Add(member.node(), well ? "" : "33");
      if (!well) line.Add(absl::StrCat(" ", member.phase()), "33");
    }
    if (shown > 12) line.Add(absl::StrCat(" and ", shown - 12, " more"), "90");
  };
  add(true);
  add(false);
  return line.text();
}

}  // namespace

void Pace::Add(const RunView& view) {
  steps_left_ =
      view.total_steps() > 0 ? std::max<int64_t>(0, view.total_steps() - view.step()) : -1;
  if (!points_.empty() && view.step() < points_.back().step) points_.clear();
  points_.push_back({Time{view.now_us()}, view.step(), view.tokens()});
  while (points_.size() > 2 && points_.back().at - points_[1].at > kWindow) points_.pop_front();
}

double Pace::tokens_per_second() const {
  if (points_.size() < 2) return 0;
  const double seconds = (points_.back().at - points_.front().at).seconds();
  return seconds <= 0
             ? 0
             : static_cast<double>(points_.back().tokens - points_.front().tokens) / seconds;
}

double Pace::seconds_left() const {
  if (points_.size() < 2 || steps_left_ < 0) return -1;
  const int64_t steps = points_.back().step - points_.front().step;
  if (steps <= 0) return -1;
  return (points_.back().at - points_.front().at).seconds() / static_cast<double>(steps) *
         static_cast<double>(steps_left_);
}

std::vector<std::string> Panel(const RunView& view, const Pace& pace, size_t width, bool colour) {
  std::vector<std::string> lines{HeadLine(view, pace, width, colour)};
  lines.push_back(Line(width, colour).Add(FigureText(view, pace)).text());
  if (view.members_size() > 0) lines.push_back(MemberLine(view, width, colour));
  if (view.phase() == "pending" || view.phase() == "recovering") {
    lines.push_back(Line(width, colour).Add(view.reason(), "33").text());
  }
  return lines;
}

std::string PlainLine(const RunView& view, const Pace& pace) {
  return absl::StrCat(view.phase(), "  ", Steps(view), Eta(pace), "   ", FigureText(view, pace));
}

}  // namespace longrun::cli
