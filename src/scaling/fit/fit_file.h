// A fit as a file: what `longrun fit --out` writes and what predict, check and plan read. JSON,
// with every number in full, and enough in it to resample or judge anew without the data's file.
// Text in, text out; any thread.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/fit/bootstrap.h"
#include "scaling/fit/fit.h"
#include "scaling/runs/points_csv.h"

namespace longrun::scaling {

// Where the points came from.
struct DataSource {
  std::string file;
  std::string hash;                  // "xxh128:…" of the whole file
  int64_t rows = 0;                  // of the file
  int64_t other_rows = 0;            // that --where left out
  std::vector<std::string> options;  // of the command line, that chose columns and rows
};

struct FitRecord {
  Fit fit;
  Points points;  // that were fitted
  std::vector<Dropped> dropped;
  Bootstrap bootstrap;  // empty: none was asked for
  DataSource source;
  std::string made;  // when, as FormatTime writes it; the caller's clock
};

std::string WriteFitFile(const FitRecord& record);

// `name`: how messages call the text. An error says what is missing or cannot be; a file of another
// version is one.
absl::StatusOr<FitRecord> ReadFitFile(const std::string& text, const std::string& name);

}  // namespace longrun::scaling
