// The page that Prometheus reads (text format 0.0.4), made from one copy of the engine's counts.
// vLLM's names where the meaning is the same, so that its dashboards and routers work; longrun: for
// the rest. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "serving/engine/engine.h"

namespace longrun::serving {

// What the machine can do, measured at start.
struct PeakRates {
  double flops = 0;  // a second; 0: not measured
  double bytes_per_second = 0;
};

struct Utilisation {
  double mfu = 0;        // analytic FLOP a second over the ceiling
  double mbu = 0;        // bytes read and written a second over the ceiling
  double intensity = 0;  // FLOP a byte
};

// What the figures of two moments say of the time between them; zeros where nothing was done.
Utilisation UtilisationBetween(const EngineStats& before, const EngineStats& after, double seconds,
                               const PeakRates& peak);

struct MetricsInput {
  std::string model;
  EngineStats stats;
  PeakRates peak;
  Utilisation utilisation;
  int64_t rate_limited_total = 0;
  int64_t http_connections = 0;
};

std::string MetricsPage(const MetricsInput& input);

}  // namespace longrun::serving
