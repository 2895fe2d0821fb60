// The training loop of one rank: joins gang after gang as the membership changes, brings its state
// in step with the others', and trains until the last step is done or a stop is asked for.
//
// Made and run by the worker's main thread. What a step does is decided by (seed, step) alone, and
// by sums over the gang that come out the same on every rank; nothing depends on which rank was
// lost when.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "training/checkpoint_interval.h"
#include "training/checkpoint_writer.h"
#include "training/gradient_reducer.h"
#include "training/local_gradient.h"
#include "training/membership.h"
#include "training/run_data.h"
#include "training/session.h"
#include "training/state_sync.h"
#include "training/train_config.h"
#include "training/train_state.h"

namespace longrun::training {

class Trainer {
 public:
  // `config` with the vocabulary of `data`'s tokenizer; `run_folder`: where checkpoints and the
  // model go.
  Trainer(const TrainConfig& config, RunData data, std::string run_folder, at::Device device,
          std::shared_ptr<Bell> bell);

  // A forward and backward pass on any tokens, thrown away: a spare that has done this joins
  // without first-time costs.
  absl::Status WarmUp();

  // Ok: the last step is done and the model saved. Cancelled: stopped, as asked, with a checkpoint.
  absl::Status Run(Membership* membership);

 private:
  absl::Status TrainIn(Session* session);
  absl::Status Join(Session* session);
  absl::Status Step(Session* session);
  absl::Status Apply(Session* session, const at::Tensor& stats, double started);
  absl::Status Evaluate(Session* session);
  absl::StatusOr<bool> LoadCheckpoint(Membership* membership);
  void StartCheckpoint(const GangSpec& spec);
  void ReportCheckpoints(Membership* membership);
  absl::Status FinalCheckpoint(Session* session);
  absl::Status Finish(Session* session);
  absl::Status SaveModel(Membership* membership);
  absl::Status StopAlone(Membership* membership, const absl::Status& reason);

  bool EvaluationDue() const;

  const TrainConfig config_;
  RunData data_;
  const std::string run_folder_;
  const uint64_t config_hash_;
  std::shared_ptr<Bell> bell_;
  TrainState state_;
  LocalGradient gradient_;
  GradientReducer reducer_;
  CheckpointWriter writer_;
  CheckpointClock clock_;
  std::vector<FlightPtr> sends_;  // of state to peers, from the last join
  Stopwatch watch_;
  double last_commit_ = 0;  // on watch_
  GangSpec last_spec_;
  bool stopping_ = false;
  bool first_step_ = false;         // of this incarnation
  bool checkpoint_failed_ = false;  // here, since the last step
  int64_t evaluated_step_ = -1;
  int64_t checkpoint_step_ = -1;  // of the newest copy made
  double validation_loss_ = 0;
};

}  // namespace longrun::training
