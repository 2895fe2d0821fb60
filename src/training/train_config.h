// What `longrun-worker train --config gpt.yaml` is asked to do. docs/training.md describes each
// field.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/gpt.h"
#include "training/checkpoint_interval.h"
#include "training/optimizer.h"
#include "training/schedule.h"

namespace longrun::training {

struct DataConfig {
  std::vector<std::string> text;  // files, folders, shell patterns
  std::string tokenizer;          // to load; empty: one is trained from the text
  int64_t vocab_size = 4096;      // of the one that is trained
  double validation_fraction = 0.05;
};

struct SampleConfig {
  std::string prompt = "\n";
  int64_t tokens = 200;
  double temperature = 0.8;
  int64_t top_k = 0;   // 0: all
  bool go_on = false;  // after the end of a text with the next one, up to `tokens`
};

struct TrainConfig {
  model::GptConfig model;  // vocab_size is the tokenizer's
  DataConfig data;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  CheckpointConfig checkpoint;
  SampleConfig sample = {.go_on = true};

  int64_t steps = 1000;
  int64_t batch = 32;       // sequences of a step, over all ranks
  int64_t micro_batch = 0;  // at most so many at a time on a rank; 0: all of its share
  model::Precision precision = model::Precision::kF32;
  double clip = 1.0;  // global norm; 0: none
  uint64_t seed = 1;
  int64_t threads = 0;           // of a rank; 0: the cores divided among the node's ranks
  double bucket_mb = 1;          // of gradients, per all-reduce
  int64_t evaluate_every = 100;  // steps; 0: at the end alone
  int64_t evaluate_sequences = 64;
  std::string output = "model";  // folder of the trained model, in the run's folder

  // Of everything that decides the losses: ranks with different ones must not train together, and a
  // checkpoint of another one is not resumed.
  uint64_t Hash() const;
};

// "auto", a number of steps, or a time such as "30s".
absl::Status SetEvery(const std::string& text, CheckpointConfig* checkpoint);

// `name`: the file, for messages. All mistakes at once, a line each.
absl::StatusOr<TrainConfig> ParseTrainConfig(const std::string& text, const std::string& name);
absl::StatusOr<TrainConfig> LoadTrainConfig(const std::string& path);

}  // namespace longrun::training
