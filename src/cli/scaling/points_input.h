// Flags of subcommands that read points from a CSV, and the reading itself.
#pragma once

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/status.h"
#include "scaling/fit/fit_file.h"
#include "scaling/runs/points_csv.h"

namespace longrun::cli {

struct PointFlags {
  std::string file;  // "-": standard input
  scaling::PointColumns columns;
  scaling::DropRules drop;
};

// DATA and the flags that say what its columns are and which rows count.
void AddPointFlags(CLI::App* app, PointFlags& flags);

struct PointsInput {
  scaling::Points all;     // before any rule
  scaling::Points points;  // that the rules leave
  std::vector<scaling::Dropped> dropped;
  scaling::DataSource source;
  std::vector<std::string> read_as;
  std::vector<std::string> warnings;
  bool has_runs = false;
};
absl::StatusOr<PointsInput> LoadPoints(const PointFlags& flags);

}  // namespace longrun::cli
