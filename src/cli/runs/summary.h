// The end of a run, for people and for programs.
#pragma once

#include <string>

#include "nlohmann/json.hpp"
#include "proto/api.pb.h"

namespace longrun::cli {

// The object that `longrun run --json` ends with. A figure that the program did not report is null.
nlohmann::ordered_json SummaryJson(const api::v1::RunView& view, const std::string& run_folder,
                                   double wall_seconds);

// How Longrun was called, for what to type next.
struct AsTyped {
  std::string programs;  // before the programs' names: "build/bin/"
  std::string state;     // of --state; empty where it was not given
};

// The same for people, with what to type next.
std::string SummaryText(const api::v1::RunView& view, const std::string& run_folder,
                        double wall_seconds, const AsTyped& typed);

// Everything a view holds, for `longrun status --json`.
nlohmann::ordered_json ViewJson(const api::v1::RunView& view);

// The folder that the program said its model was saved to; "" where it said none.
std::string ModelFolder(const api::v1::RunView& view);

}  // namespace longrun::cli
