#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace longrun::cli {
namespace {

constexpr int kFewestColumns = 20;

std::string_view Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

bool MovesCursor(FILE* out) {
  const std::string_view term = Variable("TERM");
  return ::isatty(::fileno(out)) == 1 && !term.empty() && term != "dumb";
}

bool ShowsColour(FILE* out) { return MovesCursor(out) && Variable("NO_COLOR").empty(); }

std::optional<int> WindowColumns(FILE* out) {
  winsize size{};
  if (::ioctl(::fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col < kFewestColumns) {
    return std::nullopt;
  }
  return size.ws_col;
}

std::optional<int> WindowRows(FILE* out) {
  winsize size{};
  if (::ioctl(::fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return std::nullopt;
  return size.ws_row;
}

}  // namespace longrun::cli
