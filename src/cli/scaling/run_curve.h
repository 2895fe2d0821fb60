// A run's losses so far, from the facts of the journal.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "fleet/event.h"
#include "scaling/forecast/curve.h"

namespace longrun::cli {

// Collects the curve of one run from events in their order.
class RunCurveReader {
 public:
  // `metric`: a figure that the program reports (validation_loss) in place of the loss of its
  // steps; empty: that loss.
  RunCurveReader(std::string run, std::string metric)
      : run_(std::move(run)), metric_(std::move(metric)) {}

  void Take(const fleet::Event& event);
  bool seen() const { return seen_; }  // the run was submitted
  // Steps that were done again count once; those of an earlier run of the same name, not at all.
  scaling::Curve curve() const;

 private:
  struct Step {
    int64_t tokens = 0;
    double loss = 0;
    bool has_loss = false;
  };
  std::string run_;
  std::string metric_;
  bool seen_ = false;
  bool begun_again_ = false;  // submitted since the last commit
  std::map<int64_t, Step> steps_;
};

}  // namespace longrun::cli
