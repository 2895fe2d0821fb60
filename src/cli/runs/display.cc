#include "cli/runs/display.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/terminal.h"

namespace longrun::cli {
namespace {

// A line each so many seconds is enough for a log.
constexpr double kBetweenPlainLinesSeconds = 5;

// Of text with colours in it.
size_t Columns(const std::string& text) {
  size_t columns = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      while (i < text.size() && text[i] != 'm') ++i;
    } else if ((text[i] & 0xC0) != 0x80) {
      ++columns;
    }
  }
  return columns;
}

std::string WithoutControls(std::string text) {
  for (char& c : text) {
    if ((c >= 0 && c < 32 && c != '\n' && c != '\t') || c == 127) c = ' ';
  }
  return text;
}

class PlainDisplay : public Display {
 public:
  explicit PlainDisplay(FILE* out) : out_(out) {}

  void Tell(const std::string& line) override {
    std::fprintf(out_, "%s\n", WithoutControls(line).c_str());
    std::fflush(out_);
  }
  void Show(const api::v1::RunView& view) override {
    pace_.Add(view);
    if (view.phase() != "running" || view.step() == shown_step_) return;
    if (shown_step_ >= 0 && since_.seconds() < kBetweenPlainLinesSeconds) return;
    shown_step_ = view.step();
    since_.Restart();
    Tell(PlainLine(view, pace_));
  }
  void Finish() override { std::fflush(out_); }

 private:
  FILE* out_;
  Pace pace_;
  Stopwatch since_;
  int64_t shown_step_ = -1;
};

class TerminalDisplay : public Display {
 public:
  TerminalDisplay(FILE* out, bool colour) : out_(out), colour_(colour) {}
  ~TerminalDisplay() override { Finish(); }

  void Tell(const std::string& line) override {
    const std::string erase = Erase();
    Write(absl::StrCat(erase, WithoutControls(line), "\n", Draw()));
  }
  void Show(const api::v1::RunView& view) override {
    pace_.Add(view);
    const std::string erase = Erase();
    panel_ = Panel(view, pace_, Width() - 1, colour_);
    Write(erase + Draw());
  }
  void Finish() override {
    Write(Erase());
    panel_.clear();
    drawn_.clear();
  }

 private:
  size_t Width() const { return static_cast<size_t>(WindowColumns(out_).value_or(80)); }

  // Back to the panel's first row. A terminal made narrower has broken its lines into several.
  std::string Erase() {
    size_t rows = 0;
    for (const std::string& line : drawn_) {
      rows += std::max<size_t>(1, (Columns(line) + Width() - 1) / Width());
    }
    drawn_.clear();
    return rows == 0 ? "" : absl::StrCat("\r\x1b[", rows, "A\x1b[J");
  }

  std::string Draw() {
    std::string text;
    for (const std::string& line : panel_) absl::StrAppend(&text, line, "\x1b[K\n");
    drawn_ = panel_;
    return text;
  }

  void Write(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), out_);
    std::fflush(out_);
  }

  FILE* out_;
  const bool colour_;
  Pace pace_;
  std::vector<std::string> panel_;
  std::vector<std::string> drawn_;
};

}  // namespace

std::unique_ptr<Display> Display::For(FILE* out) {
  if (!MovesCursor(out)) return std::make_unique<PlainDisplay>(out);
  return std::make_unique<TerminalDisplay>(out, ShowsColour(out));
}

}  // namespace longrun::cli
