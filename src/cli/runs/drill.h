// Faults that `longrun run --drill` puts in by itself: "kill-rank@50%", "kill-rank:2@120",
// "kill-node:node-1@30%", "kill-controller@10%".
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "proto/api.pb.h"

namespace longrun::cli {

struct Drill {
  std::string text;    // as it was given
  std::string kind;    // kill-rank, hang-rank, kill-node, kill-controller
  int rank = -1;       // -1: one from the middle of the gang
  std::string node;    // "": that of the last rank
  double percent = 0;  // of all steps; 0: `step` counts
  int64_t step = 0;

  // Whether the run is there. False while the total is unknown that a percentage needs.
  bool Due(const api::v1::RunView& view) const;
  // What to ask of the controller, the choices left open made.
  api::v1::FaultRequest RequestFor(const api::v1::RunView& view) const;
};

absl::StatusOr<Drill> ParseDrill(const std::string& text);

}  // namespace longrun::cli
