#include "training/checkpoint_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/file.h"
#include "base/random.h"
#include "model/safetensors.h"

namespace longrun::training {
namespace {

namespace fs = std::filesystem;

constexpr char kManifest[] = "manifest.json";

std::string LinePath(const std::string& folder, int64_t rank, int64_t world) {
  return absl::StrCat(folder, "/", ShardName(rank, world), ".line");
}
std::string FailedPath(const std::string& folder, int64_t rank, int64_t world) {
  return absl::StrCat(folder, "/", ShardName(rank, world), ".failed");
}

// Steps of the folders that bear a checkpoint's name, newest first.
std::vector<int64_t> Steps(const std::string& checkpoints) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (fs::directory_iterator it(checkpoints, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    int64_t step = 0;
    if (absl::StartsWith(name, "step-") && absl::SimpleAtoi(name.substr(5), &step) &&
        name == CheckpointName(step)) {
      steps.push_back(step);
    }
  }
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

absl::StatusOr<CheckpointManifest> ReadManifest(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kManifest);
  LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 64 << 20));
  return ParseManifest(text, path);
}

absl::Status CheckFits(const CheckpointManifest& manifest, int64_t step, uint64_t config_hash,
                       uint64_t layout_hash, const NamedTensors& tensors) {
  if (manifest.step != step) return absl::DataLossError("its manifest names another step");
  if (manifest.layout_hash != layout_hash || manifest.floats != tensors[0].second.numel()) {
    return absl::FailedPreconditionError("it is of another model");
  }
  if (manifest.config_hash != config_hash) {
    return absl::FailedPreconditionError("it was trained with another configuration or other data");
  }
  if (manifest.tensors.size() != tensors.size()) {
    return absl::FailedPreconditionError("it is of another optimizer");
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (manifest.tensors[i] != tensors[i].first) {
      return absl::FailedPreconditionError("it is of another optimizer");
    }
  }
  return absl::OkStatus();
}

absl::Status LoadShard(const std::string& folder, const CheckpointShard& shard,
                       const NamedTensors& tensors) {
  const std::string path = absl::StrCat(folder, "/", shard.file);
  LR_ASSIGN_OR_RETURN(const model::WrittenFile found, model::ChecksumFile(path));
  if (found.bytes != shard.bytes) {
    return absl::DataLossError(
        absl::StrCat(path, ": ", found.bytes, " bytes where the manifest says ", shard.bytes));
  }
  if (found.checksum != shard.checksum) {
    return absl::DataLossError(absl::StrCat(path, ": its checksum is not the manifest's"));
  }
  LR_ASSIGN_OR_RETURN(const model::SafetensorsFile file, model::SafetensorsFile::Open(path));
  for (const auto& [name, tensor] : tensors) {
    LR_ASSIGN_OR_RETURN(const model::TensorView view, file.Get(name));
    const int64_t count = shard.end - shard.begin;
    if (view.dtype != model::DType::kF32 || view.shape != std::vector<int64_t>{count}) {
      return absl::DataLossError(absl::StrCat(path, ": ", name, " is not ", count, " floats"));
    }
    memcpy(tensor.data_ptr<float>() + shard.begin, view.bytes.data(), view.bytes.size());
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t LayoutHash(const model::FlatParameters& parameters) {
  uint64_t hash = Mix64(static_cast<uint64_t>(parameters.size()));
  const auto mix = [&hash](uint64_t value) { hash = Mix64(hash ^ value); };
  for (const model::ParameterSlot& slot : parameters.slots()) {
    for (const char c : slot.name) mix(static_cast<uint8_t>(c));
    for (const int64_t side : slot.shape) mix(static_cast<uint64_t>(side));
    mix(static_cast<uint64_t>(slot.offset));
  }
  return hash;
}

std::pair<int64_t, int64_t> ShardRange(int64_t floats, int64_t rank, int64_t world) {
  const int64_t units = (floats + 15) / 16;
  const int64_t begin = units * rank / world * 16;
  return {std::min(begin, floats), std::min(floats, units * (rank + 1) / world * 16)};
}

std::string CheckpointName(int64_t step) { return absl::StrFormat("step-%09d", step); }
std::string PartialName(int64_t step, int64_t incarnation) {
  return absl::StrFormat(".partial-%d-step-%09d", incarnation, step);
}
std::string ShardName(int64_t rank, int64_t world) {
  return absl::StrFormat("shard-%05d-of-%05d.safetensors", rank, world);
}

absl::Status WriteShard(const std::string& partial_folder, int64_t step, CheckpointShard shard,
                        int64_t floats, const std::vector<std::string>& names,
                        const std::vector<const float*>& slices) {
  LR_RETURN_IF_ERROR(MakeFolder(partial_folder));
  const RankCoordinates& c = shard.coordinates;
  shard.file = ShardName(c.data, c.data_world);
  std::vector<model::TensorToWrite> tensors;
  for (size_t i = 0; i < names.size(); ++i) {
    const int64_t count = shard.end - shard.begin;
    const std::span<const float> slice(slices[i], static_cast<size_t>(count));
    tensors.push_back({names[i], model::DType::kF32, {count}, std::as_bytes(slice)});
  }
  const std::map<std::string, std::string> metadata = {
      {"step", absl::StrCat(step)},
      {"global_shape", absl::StrCat("[", floats, "]")},
      {"begin", absl::StrCat(shard.begin)},
      {"end", absl::StrCat(shard.end)},
      {"data", absl::StrCat(c.data, "/", c.data_world)},
      {"tensor", absl::StrCat(c.tensor, "/", c.tensor_world)},
      {"pipeline", absl::StrCat(c.pipeline, "/", c.pipeline_world)}};
  LR_ASSIGN_OR_RETURN(
      const model::WrittenFile written,
      model::WriteSafetensors(absl::StrCat(partial_folder, "/", shard.file), tensors, metadata));
  shard.bytes = written.bytes;
  shard.checksum = written.checksum;
  return WriteFileAtomically(LinePath(partial_folder, c.data, c.data_world), FormatShard(shard));
}

absl::StatusOr<std::vector<CheckpointShard>> CollectShards(const std::string& partial_folder,
                                                           int64_t world) {
  std::vector<CheckpointShard> shards;
  for (int64_t rank = 0; rank < world; ++rank) {
    if (access(FailedPath(partial_folder, rank, world).c_str(), F_OK) == 0) {
      return absl::AbortedError(absl::StrCat("rank ", rank, " could not write its shard"));
    }
    const std::string path = LinePath(partial_folder, rank, world);
    if (access(path.c_str(), F_OK) != 0) return absl::UnavailableError("not all are there");
    LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
    LR_ASSIGN_OR_RETURN(shards.emplace_back(), ParseShard(text, path));
  }
  return shards;
}

void MarkShardFailed(const std::string& partial_folder, int64_t rank, int64_t world) {
  FILE* file = fopen(FailedPath(partial_folder, rank, world).c_str(), "w");
  if (file != nullptr) fclose(file);
}

absl::Status Publish(const std::string& checkpoints, const std::string& partial_folder,
                     const CheckpointManifest& manifest) {
  const auto world = static_cast<int64_t>(manifest.shards.size());
  LR_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(partial_folder, "/", kManifest), FormatManifest(manifest)));
  for (int64_t rank = 0; rank < world; ++rank) {
    unlink(LinePath(partial_folder, rank, world).c_str());
  }
  LR_RETURN_IF_ERROR(SyncFolder(partial_folder));
  const std::string target = absl::StrCat(checkpoints, "/", CheckpointName(manifest.step));
  if (rename(partial_folder.c_str(), target.c_str()) != 0) {
    // One of this step is there, from before the ranks came back to it, or a damaged one, or
    // another configuration's: it makes room for the one that is known to be whole.
    std::error_code error;
    const std::string old =
        absl::StrCat(checkpoints, "/.partial-0-", CheckpointName(manifest.step));
    fs::remove_all(old, error);
    if (rename(target.c_str(), old.c_str()) != 0 ||
        rename(partial_folder.c_str(), target.c_str()) != 0) {
      return absl::UnavailableError(
          absl::StrCat(target, ": cannot be put in place: ", strerror(errno)));
    }
    fs::remove_all(old, error);
  }
  return SyncFolder(checkpoints);
}

void Prune(const std::string& checkpoints, int64_t keep, uint64_t config_hash) {
  std::error_code error;
  int64_t kept = 0;
  for (const int64_t step : Steps(checkpoints)) {
    const std::string folder = absl::StrCat(checkpoints, "/", CheckpointName(step));
    const auto manifest = ReadManifest(folder);
    if (!manifest.ok() || manifest->config_hash != config_hash) continue;  // not ours to delete
    if (++kept <= keep) continue;
    // Renamed first, so that one half deleted never bears a whole one's name.
    const std::string going = absl::StrCat(checkpoints, "/.partial-0-", CheckpointName(step));
    fs::rename(folder, going, error);
    fs::remove_all(error ? folder : going, error);
  }
}

void RemovePartial(const std::string& checkpoints) {
  std::error_code error;
  std::vector<fs::path> stale;
  for (fs::directory_iterator it(checkpoints, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (absl::StartsWith(name, ".partial-")) stale.push_back(it->path());
  }
  for (const fs::path& path : stale) fs::remove_all(path, error);
}

absl::StatusOr<int64_t> LoadNewest(const std::string& checkpoints, uint64_t config_hash,
                                   uint64_t layout_hash, const NamedTensors& tensors,
                                   const std::function<void(const std::string&)>& warn,
                                   bool* touched) {
  for (const int64_t step : Steps(checkpoints)) {
    const std::string folder = absl::StrCat(checkpoints, "/", CheckpointName(step));
    const auto load = [&]() -> absl::Status {
      LR_ASSIGN_OR_RETURN(const CheckpointManifest manifest, ReadManifest(folder));
      LR_RETURN_IF_ERROR(CheckFits(manifest, step, config_hash, layout_hash, tensors));
      *touched = true;
      for (const CheckpointShard& shard : manifest.shards) {
        LR_RETURN_IF_ERROR(LoadShard(folder, shard, tensors));
      }
      return absl::OkStatus();
    };
    const absl::Status status = load();
    if (status.ok()) return step;
    warn(absl::StrCat("checkpoint ", folder, " is passed over: ", status.message()));
  }
  return absl::NotFoundError("no whole checkpoint in " + checkpoints);
}

}  // namespace longrun::training
