// What a stream that people may be watching can show. Pure but for the stream and the environment;
// windows change, so ask again for each frame.
#pragma once

#include <cstdio>
#include <optional>

namespace longrun::cli {

// A terminal that understands escapes which move the cursor.
bool MovesCursor(FILE* out);
// And whose user has not asked for NO_COLOR (no-color.org: any value but an empty one).
bool ShowsColour(FILE* out);
// How wide its window is; nothing where there is none, or where it is too narrow to be true.
std::optional<int> WindowColumns(FILE* out);
// And how high; nothing where there is none.
std::optional<int> WindowRows(FILE* out);

}  // namespace longrun::cli
