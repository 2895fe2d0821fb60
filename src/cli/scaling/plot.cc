#include "cli/scaling/plot.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/nearest.h"
#include "cli/terminal.h"

namespace longrun::cli {
namespace {

using scaling::Canvas;
using scaling::Picture;

absl::StatusOr<Canvas> CanvasOf(const PlotFlags& flags) {
  Canvas canvas;
  if (flags.file == "-") {
    canvas.kind = Canvas::Kind::kText;
    if (const auto columns = WindowColumns(stdout); columns >= 40) canvas.columns = *columns;
    return canvas;
  }
  if (absl::EndsWithIgnoreCase(flags.file, ".svg")) {
    canvas.kind = Canvas::Kind::kSvg;
  } else if (absl::EndsWithIgnoreCase(flags.file, ".png")) {
    canvas.kind = Canvas::Kind::kPng;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("--plot \"", flags.file,
                     "\": a name that ends in .svg or .png, or - for the terminal, is "
                     "right"));
  }
  return canvas;
}

bool OnPath(const std::string& program) {
  const char* path = std::getenv("PATH");
  for (const auto folder : absl::StrSplit(path == nullptr ? "" : path, ':')) {
    if (!folder.empty() && access(absl::StrCat(folder, "/", program).c_str(), X_OK) == 0) {
      return true;
    }
  }
  return false;
}

absl::Status CheckGnuplot() {
  if (OnPath("gnuplot")) return absl::OkStatus();
  return absl::NotFoundError(
      "gnuplot draws the pictures and is not installed: apt-get install gnuplot-nox");
}

absl::Status SystemError(const std::string& what) {
  return absl::InternalError(absl::StrCat(what, ": ", std::strerror(errno)));
}

// What gnuplot answers to a script. The script goes through a file in memory that the child
// inherits, so that nothing of it is seen by a shell or left behind.
absl::StatusOr<std::string> RunGnuplot(const std::string& script) {
  const int fd = memfd_create("gnuplot", 0);
  if (fd < 0) return SystemError("cannot hold gnuplot's script");
  const bool written =
      write(fd, script.data(), script.size()) == static_cast<ssize_t>(script.size());
  // -d: without the user's own settings.
  FILE* pipe = written ? popen(absl::StrCat("exec gnuplot -d /dev/fd/", fd).c_str(), "r") : nullptr;
  if (pipe == nullptr) {
    close(fd);
    return SystemError("cannot start gnuplot");
  }
  std::string answer;
  char buffer[65536];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) answer.append(buffer, n);
  const int status = pclose(pipe);
  close(fd);
  if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0 || answer.empty()) {
    return absl::InternalError("gnuplot could not draw the picture; what it said stands above");
  }
  return answer;
}

}  // namespace

void AddPlotFlags(CLI::App* app, PlotFlags& flags, const std::string& panels) {
  app->add_option("--plot", flags.file, "Draw a picture: FILE.svg, FILE.png, - for the terminal")
      ->type_name("FILE");
  app->add_option("--panel", flags.panels,
                  absl::StrCat("Of the picture, this alone: ", panels, "; may be repeated"))
      ->type_name("PANEL")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

absl::Status CheckPlotFlags(const PlotFlags& flags) {
  if (!flags.wanted()) {
    if (flags.panels.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError("--panel: says what --plot FILE draws, which is not given");
  }
  LR_RETURN_IF_ERROR(CanvasOf(flags).status());
  return CheckGnuplot();
}

absl::Status Plot(const Picture& picture, const PlotFlags& flags) {
  LR_RETURN_IF_ERROR(CheckPlotFlags(flags));
  LR_ASSIGN_OR_RETURN(const Canvas canvas, CanvasOf(flags));
  std::string unknown;
  const Picture chosen = scaling::OnlyPanels(picture, flags.panels, &unknown);
  if (!unknown.empty()) {
    std::vector<std::string> names;
    for (const scaling::Panel& panel : picture.panels) names.push_back(panel.name);
    return absl::InvalidArgumentError(absl::StrCat("--panel \"", unknown, "\": there is none here",
                                                   DidYouMean(unknown, names), "; there are ",
                                                   absl::StrJoin(names, ", ")));
  }
  LR_ASSIGN_OR_RETURN(const std::string drawn, RunGnuplot(scaling::GnuplotScript(chosen, canvas)));
  if (canvas.kind != Canvas::Kind::kText) return WriteFileAtomically(flags.file, drawn);
  // gnuplot asks for a new sheet of paper before each.
  std::fputs(absl::StrReplaceAll(drawn, {{"\f", ""}}).c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace longrun::cli
