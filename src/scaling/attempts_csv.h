// Attempts from CSV, row by row. Pure; any thread, one at a time for a stream.
#pragma once

#include <istream>
#include <set>
#include <string>

#include "base/status.h"
#include "scaling/pass_rate.h"

namespace longrun::scaling {

// Names of the columns.
struct AttemptColumns {
  std::string problem = "problem";
  std::string model = "model";
  std::string compute = "compute";
  std::string attempts = "attempts";
  std::string passes = "passes";
};

// `name`: how messages call the stream. Rows of the models `without` are left out. Memory goes by
// problems × models, not by the file's bytes.
absl::StatusOr<AttemptTable> ReadAttempts(std::istream& in, const std::string& name,
                                          const AttemptColumns& columns,
                                          const std::set<std::string>& without);

}  // namespace longrun::scaling
