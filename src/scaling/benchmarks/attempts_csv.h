// Attempts from CSV, row by row. Pure; any thread, one at a time for a stream.
#pragma once

#include <istream>
#include <set>
#include <string>

#include "base/status.h"
#include "scaling/benchmarks/pass_rate.h"

namespace longrun::scaling {

// Names of the columns.
struct AttemptColumns {
  std::string problem = "problem";
  std::string model = "model";
  std::string compute = "compute";
  std::string attempts = "attempts";
  std::string passes = "passes";
};

// More rows (problems × models) than this are refused: the table is held in memory.
inline constexpr size_t kMostAttemptRows = 5'000'000;

// `name`: how messages call the stream. Rows of the models `without` are left out. Reads row by
// row: memory goes by problems × models, not by the file's bytes.
absl::StatusOr<AttemptTable> ReadAttempts(std::istream& in, const std::string& name,
                                          const AttemptColumns& columns,
                                          const std::set<std::string>& without,
                                          size_t most_rows = kMostAttemptRows);

}  // namespace longrun::scaling
