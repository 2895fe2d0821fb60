// Tables for people: rows of cells, padded to the widest of their column.
#pragma once

#include <string>
#include <vector>

namespace longrun::cli {

// The first column stands to the left, the others to the right; a line a row. Rows may be shorter
// than others.
std::string Table(const std::vector<std::vector<std::string>>& rows);

}  // namespace longrun::cli
