// What a sweep keeps on disk, all in one folder:
//   runs/NAME.yaml     the configuration each run trains by
//   results.csv        a row for each finished run of the ladder
//   fit.json           the law (as longrun fit --out)
//   prediction.json    what was foretold of the large run, before it began (as longrun predict)
//   report.json, report.txt
//   state/             the controller's: journal, logs, the runs' folders
// Files are replaced whole, so a killed sweep leaves each of them as it was or as it should be.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/status.h"
#include "scaling/fit/fit_file.h"
#include "scaling/forecast/registration.h"
#include "scaling/sweep/design.h"

namespace longrun::cli {

struct SweepResult {
  double loss = 0;        // on the held-out text
  double seconds = 0;     // from the start of its processes
  std::string data_hash;  // of tokenizer and tokens
};
using SweepResults = std::map<std::string, SweepResult>;  // by the run's name

class SweepFolder {
 public:
  explicit SweepFolder(std::string path) : path_(std::move(path)) {}  // absolute

  const std::string& path() const { return path_; }
  std::string state() const { return path_ + "/state"; }
  std::string config(const scaling::SweepRun& run) const {
    return path_ + "/runs/" + run.name + ".yaml";
  }
  std::string results() const { return path_ + "/results.csv"; }
  std::string fit() const { return path_ + "/fit.json"; }
  std::string prediction() const { return path_ + "/prediction.json"; }

  // Writes the runs' configurations. FailedPrecondition where a run of the same name was made with
  // another one: its result must not be taken for this one's.
  absl::Status Prepare(const scaling::SweepConfig& config,
                       const scaling::SweepDesign& design) const;

  // "xxh128:…" of the tokenizer and the tokens that a run read.
  absl::StatusOr<std::string> DataHash(const std::string& run) const;

  // Rows in the ladder's order, so that the file is the same however the runs ended.
  absl::Status WriteResults(const scaling::SweepDesign& design, const SweepResults& results) const;

  // What was registered; nothing where nothing has been.
  absl::StatusOr<std::optional<scaling::Registration>> ReadPrediction() const;

 private:
  std::string path_;
};

}  // namespace longrun::cli
