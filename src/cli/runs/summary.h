// The end of a run, for people and for programs.
#pragma once

#include <string>

#include "nlohmann/json.hpp"
#include "proto/api.pb.h"

namespace longrun::cli {

// The object that `longrun run --json` ends with. A figure that the program did not report is null.
nlohmann::ordered_json SummaryJson(const api::v1::RunView& view, const std::string& run_folder,
                                   double wall_seconds);

// The same for people, with what to type next. `programs`: what stands before the programs' names
// where they are typed, "build/bin/".
std::string SummaryText(const api::v1::RunView& view, const std::string& run_folder,
                        double wall_seconds, const std::string& programs);

// Everything a view holds, for `longrun status --json`.
nlohmann::ordered_json ViewJson(const api::v1::RunView& view);

// The folder that the program said its model was saved to; "" where it said none.
std::string ModelFolder(const api::v1::RunView& view);

}  // namespace longrun::cli
