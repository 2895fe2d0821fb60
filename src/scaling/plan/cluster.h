// The machines that a plan is for, as a YAML file describes them: accelerators, nodes, power,
// reliability, what they were measured to reach, and prices. Plain values; any thread.
//
//   name: rented-h100
//   accelerator: {name: H100, bf16_tflops: 989, memory_gb: 80, link_gb_per_s: 450}
//   nodes: {count: 64, accelerators: 8, network_gb_per_s: 50}   # of one accelerator, one way
//   storage_gb_per_s: 100                                      # of all checkpoints written at once
//   power: {node_watts: 10200, average: 0.8, pue: 1.2}
//   reliability: {failures_per_1000_node_days: 4, detect: 60s, restart: 5m, repair: 8h}
//   efficiency: {mfu: 0.4, source: "where it was measured", tensor: 8, pipeline: 16,
//                microbatches: 16, chunks: 7, width: 16384, recompute: false}
//   price: {accelerator_hour: 4, electricity_kwh: 0.1, currency: USD, source: "list, 2025-01-01"}
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace longrun::scaling {

// Model FLOP utilization as somebody measured it, and how the model was cut then: a plan that is
// cut otherwise is corrected for the difference.
struct MeasuredEfficiency {
  double mfu = 0;            // model FLOP a second over the peak; in (0, 1]
  std::string source;        // who measured it, on what
  int64_t tensor = 1;        // accelerators that shared each matrix
  int64_t pipeline = 1;      // stages
  int64_t microbatches = 1;  // of a step
  int64_t chunks = 1;        // of layers a stage; more than one were interleaved
  int64_t width = 8192;      // of the model
  bool recompute = false;    // activations a second time
};

struct Price {
  double accelerator_hour = 0;  // 0: not given
  double electricity_kwh = 0;   // 0: in accelerator_hour, or not given
  std::string currency;
  std::string source;  // of the price, with its date

  bool given() const { return accelerator_hour > 0 || electricity_kwh > 0; }
};

struct Cluster {
  std::string name;
  std::string accelerator;
  double peak_flops = 0;        // a second, of one accelerator, dense bf16
  double memory_bytes = 0;      // of one accelerator
  double usable_memory = 0.9;   // the rest is the runtime's, and fragments
  double link_bytes_per_s = 0;  // of one accelerator to its peers in the node, one way
  int64_t nodes = 0;
  int64_t accelerators_per_node = 0;
  double network_bytes_per_s = 0;  // of one accelerator to other nodes, one way
  double storage_bytes_per_s = 0;  // of the whole cluster, writing
  double node_watts = 0;           // at most, of one node
  double average_power = 1;        // share of node_watts drawn in training
  double pue = 1;                  // of the facility: its power over the machines'
  double failures_per_1000_node_days = 0;
  double detect_seconds = 0;
  double restart_seconds = -1;  // below 0: by size (ColdRestartSeconds)
  double repair_seconds = 0;    // a node that failed is away for
  MeasuredEfficiency efficiency;
  Price price;

  int64_t accelerators() const { return nodes * accelerators_per_node; }
  double usable_bytes() const { return memory_bytes * usable_memory; }
};

// Every mistake at once, each with line, field and what would be right; unknown fields are
// mistakes. `name`: how messages call the text.
absl::StatusOr<Cluster> ParseCluster(std::string_view text, const std::string& name);

}  // namespace longrun::scaling
