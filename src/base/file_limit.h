// How many files (sockets too) this process may have open: many systems give a program 1,024 unless
// it asks for more. Of the whole process; any thread may ask.
#pragma once

#include <cstdint>

namespace longrun {

// As many as the system lets us ask for.
constexpr int64_t kAllFiles = INT64_MAX;

// Raises the limit to `files`, or as near to it as may be; never lowers it. Returns the limit then.
int64_t RaiseFileLimit(int64_t files);

}  // namespace longrun
