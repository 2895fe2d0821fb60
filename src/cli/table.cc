#include "cli/table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace longrun::cli {
namespace {

// Letters as a terminal shows them: the bytes that begin a character.
size_t Width(const std::string& text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

}  // namespace

std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - Width(row[i]), ' ');
      if (i > 0) {
        absl::StrAppend(&out, "  ", space, row[i]);
      } else {
        absl::StrAppend(&out, row[i], row.size() > 1 ? space : "");
      }
    }
    absl::StrAppend(&out, "\n");
  }
  return out;
}

}  // namespace longrun::cli
