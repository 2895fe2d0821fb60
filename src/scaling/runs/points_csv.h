// Points from a CSV of runs: which column is what, in which unit, which rows. Reads the stream once
// and keeps the points alone.
#pragma once

#include <istream>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "scaling/runs/points.h"

namespace longrun::scaling {

inline constexpr size_t kMostPoints = 1'000'000;

// A column as the user names it: "Model Size", or with its unit "size:M", "C:PF-days", "loss:bits".
// Units: a number, k, M, B or G, T, P, E; FLOP, PF-days; nats, bits. Empty: found by the usual
// names, where exactly one column has one of them.
struct PointColumns {
  std::string params;
  std::string tokens;
  std::string compute;
  std::string experts;
  std::string loss;
  std::string run;  // points with the same text here are of one run
  // "COLUMN=VALUE" or "COLUMN=VALUE|VALUE": only rows that have it; all of them.
  std::vector<std::string> where;
};

struct PointsTable {
  Points points;                      // in the file's order; the third of N, D and C filled in
  std::vector<std::string> read_as;   // "params from \"Model Size\""
  std::vector<std::string> warnings;  // units, duplicates
  int64_t rows = 0;                   // of the file
  int64_t other_rows = 0;             // that `where` left out
  bool has_runs = false;              // a column tells them apart, and one has several points
};

// `name`: how messages call the stream. Without a column of runs each point is a run of its own.
absl::StatusOr<PointsTable> ReadPoints(std::istream& in, const std::string& name,
                                       const PointColumns& columns);

// Rows that are left out of a fit by rule.
struct DropRules {
  int highest = 0;                  // the rows of highest loss, as many
  double min_tokens_per_param = 0;  // rows with fewer
  double max_compute = 0;           // rows with more; 0: no limit
};
struct Dropped {
  Point point;
  std::string why;  // "one of the 5 highest losses"
};
// Moves what the rules name out of `points`; the tokens and the compute first, then the highest of
// the rest. An error where nothing is left.
absl::StatusOr<std::vector<Dropped>> Drop(const DropRules& rules, Points& points);

// What looks wrong with the sizes: millions for ones, several units in one column, C far from
// 6·N·D, a row twice.
std::vector<std::string> SuspectUnits(const Points& points);

}  // namespace longrun::scaling
