// How a sweep is shown: its plan, and what was foretold against what was reached.
#pragma once

#include <string>

#include "cli/scaling/sweep_folder.h"
#include "nlohmann/json.hpp"
#include "scaling/forecast/registration.h"
#include "scaling/sweep/design.h"

namespace longrun::cli {

// What a run takes. Until runs have shown better, by figures of a core of today.
class RunTimes {
 public:
  explicit RunTimes(int threads) : threads_(threads) {}
  void Measured(const scaling::SweepRun& run, double seconds);
  double Seconds(const scaling::SweepRun& run) const;
  bool measured() const { return measured_ > 0; }

 private:
  double Assumed(const scaling::SweepRun& run) const;

  int threads_;
  double measured_ = 0;  // seconds that runs took
  double assumed_ = 0;   // that they should have taken
};

struct SweepOutcome {
  scaling::SweepConfig config;
  scaling::SweepDesign design;
  SweepResults results;  // of the ladder
  scaling::Registration registration;
  SweepResult target;
  double wall_seconds = 0;  // of this call

  double error() const;  // reached over foretold, less 1
};

std::string PlanText(const scaling::SweepConfig& config, const scaling::SweepDesign& design,
                     const RunTimes& times, int parallel);
nlohmann::ordered_json PlanJson(const scaling::SweepConfig& config,
                                const scaling::SweepDesign& design, const RunTimes& times,
                                int parallel);

std::string ReportText(const SweepOutcome& outcome);
nlohmann::ordered_json ReportJson(const SweepOutcome& outcome);

// "predicted 3.61, 80 %: 3.55 to 3.67".
std::string PredictionLine(const scaling::Registration& registration);

}  // namespace longrun::cli
