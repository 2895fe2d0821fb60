// What two readings of a server's metrics say of the time between them, and what binds it now.
// Pure.
#pragma once

#include <string>
#include <vector>

#include "cli/serving/metrics_page.h"

namespace longrun::cli {

struct TenantFigures {
  std::string name;
  double running = 0, waiting = 0;
  double output_per_second = 0;
};

// Negative: the server does not tell.
struct ServingFigures {
  std::string model;
  double seconds = 0;  // between the readings
  double running = 0, waiting = 0;
  double kv_used = 0;                                  // 0 to 1
  double kv_tokens = -1;                               // room for so many
  double input_per_second = 0, output_per_second = 0;  // tokens
  double tokens_per_step = -1, steps_per_second = -1;
  double ttft_p50 = -1, ttft_p99 = -1, itl_p50 = -1, itl_p99 = -1;  // seconds
  double queue_p50 = -1;
  double prefix_hits = -1;  // of the tokens looked for, 0 to 1
  double preemptions = 0;   // in the time between
  double rejections = 0;
  double mfu = -1, mbu = -1;                // 0 to 1
  double intensity = -1, balance = -1;      // FLOP a byte
  double overhead = -1;                     // of the engine's time: beside the arithmetic
  double predicted_wait = -1, stalled = 0;  // seconds
  std::vector<TenantFigures> tenants;       // the busiest first
};

// `before` may be null: rates are unknown then (0, or negative), quantiles since the server's
// begin.
ServingFigures FiguresBetween(const MetricsPage* before, const MetricsPage& after, double seconds);

enum class Binding {
  kIdle,
  kStalled,
  kMemoryCapacity,
  kMemoryBandwidth,
  kCompute,
  kQueue,
  kHost,
  kNothing,
};
const char* BindingName(Binding binding);  // "memory capacity"

struct Judgement {
  Binding binding = Binding::kNothing;
  std::string why;   // with its figures
  std::string help;  // what would help
};
// Assumes that a server is bound by what is nearest its ceiling: blocks of the cache before
// arithmetic, since a sequence without blocks computes nothing; arithmetic and bandwidth by their
// parts of the measured ceilings (the roofline: Williams, Waterman and Patterson, 2009).
Judgement Judge(const ServingFigures& figures);

// The lines of the view, none wider than `width`; and one JSON object in a line.
std::vector<std::string> ServingPanel(const ServingFigures& figures, size_t width, bool colour);
std::string ServingJson(const ServingFigures& figures);

}  // namespace longrun::cli
