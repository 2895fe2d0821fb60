// What a checkpoint folder says of itself, manifest.json: the step, what was trained, and each
// shard's size and checksum. A folder without a manifest that fits is not a checkpoint.
//
// Pure functions of any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace longrun::training {

// Where a rank stands in each of the ways training is spread. Data-parallel today; the others are 0
// of 1, and are written so that files of today can be read when they are not.
struct RankCoordinates {
  int64_t data = 0, data_world = 1;
  int64_t tensor = 0, tensor_world = 1;
  int64_t pipeline = 0, pipeline_world = 1;
  bool operator==(const RankCoordinates&) const = default;
};

struct CheckpointShard {
  std::string file;  // within the folder, no path
  int64_t bytes = 0;
  uint64_t checksum = 0;  // XXH3-64 of the file
  int64_t begin = 0;      // this shard's part of each flat tensor, in floats
  int64_t end = 0;
  RankCoordinates coordinates;
  bool operator==(const CheckpointShard&) const = default;
};

struct CheckpointManifest {
  int64_t step = 0;
  uint64_t config_hash = 0;  // TrainConfig::Hash
  uint64_t layout_hash = 0;  // LayoutHash of the model's parameters
  int64_t floats = 0;        // of each flat tensor
  std::vector<std::string> tensors;
  std::vector<CheckpointShard> shards;
  bool operator==(const CheckpointManifest&) const = default;
};

std::string FormatManifest(const CheckpointManifest& manifest);
// DataLoss, naming `path` and the field, for anything that is not a whole manifest: shards that do
// not cover the tensors exactly once, file names with a path in them, numbers out of range.
absl::StatusOr<CheckpointManifest> ParseManifest(const std::string& text, const std::string& path);

// A shard's line beside its file, by which rank 0 knows it is whole.
std::string FormatShard(const CheckpointShard& shard);
absl::StatusOr<CheckpointShard> ParseShard(const std::string& text, const std::string& path);

}  // namespace longrun::training
