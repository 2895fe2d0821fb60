// Checkpoints on disk: a folder `step-000000100` each, with one safetensors file per rank and a
// manifest. A folder under that name is whole: it was made under a name that begins with ".partial"
// and renamed once all its shards were there. Damage that comes later is found by sizes and
// checksums.
//
// Functions of any thread; only rank 0 of the newest incarnation publishes and prunes.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "base/status.h"
#include "model/flat_parameters.h"
#include "training/checkpoint_manifest.h"

namespace longrun::training {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Of names, shapes and places of all parameters in the flat buffer.
uint64_t LayoutHash(const model::FlatParameters& parameters);

// The part of [0, floats) that a rank writes; borders are multiples of 16 floats.
std::pair<int64_t, int64_t> ShardRange(int64_t floats, int64_t rank, int64_t world);

std::string CheckpointName(int64_t step);  // "step-000000100"
std::string PartialName(int64_t step, int64_t incarnation);
std::string ShardName(int64_t rank, int64_t world);  // "shard-00001-of-00004.safetensors"

// Writes one rank's slices (each [end - begin] f32 on the CPU) into the partial folder, and its
// line.
absl::Status WriteShard(const std::string& partial_folder, int64_t step, CheckpointShard shard,
                        int64_t floats, const std::vector<std::string>& names,
                        const std::vector<const float*>& slices);

// The shards' lines, once all `world` are there; Unavailable while some are not; Aborted when a
// rank said that it could not write its own.
absl::StatusOr<std::vector<CheckpointShard>> CollectShards(const std::string& partial_folder,
                                                           int64_t world);
// Tells rank 0 that this rank's shard is not coming.
void MarkShardFailed(const std::string& partial_folder, int64_t rank, int64_t world);

// Writes the manifest and renames the folder; after a crash it is there whole or not at all.
absl::Status Publish(const std::string& checkpoints, const std::string& partial_folder,
                     const CheckpointManifest& manifest);

// Deletes all but the newest `keep` checkpoints of `config_hash`. Best effort.
void Prune(const std::string& checkpoints, int64_t keep, uint64_t config_hash);
// Deletes what was never finished. For rank 0 when it has joined, before its first step: nobody can
// have begun a checkpoint of this incarnation then. Best effort.
void RemovePartial(const std::string& checkpoints);

// Reads the newest checkpoint that is whole and fits into `tensors` (each [floats] f32, on the CPU)
// and returns its step; NotFound where there is none. `warn` hears of each that is passed over, and
// why. When tensors have been touched and nothing was found in the end, `*touched` is true.
absl::StatusOr<int64_t> LoadNewest(const std::string& checkpoints, uint64_t config_hash,
                                   uint64_t layout_hash, const NamedTensors& tensors,
                                   const std::function<void(const std::string&)>& warn,
                                   bool* touched);

}  // namespace longrun::training
