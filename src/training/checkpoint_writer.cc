#include "training/checkpoint_writer.h"

#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/file.h"
#include "base/time.h"

namespace longrun::training {
namespace {

// A rank that is alive and whose disk works has written its shard by then; the attempt after the
// next interval is as good as waiting longer.
constexpr double kShardWaitSeconds = 300;

}  // namespace

CheckpointWriter::CheckpointWriter(std::string folder, std::shared_ptr<Bell> bell)
    : folder_(std::move(folder)), bell_(std::move(bell)), thread_([this] { Run(); }) {}

CheckpointWriter::~CheckpointWriter() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CheckpointWriter::Write(const CheckpointJob& job, const NamedTensors& tensors) {
  const Stopwatch watch;
  Copy* copy = !copies_[0].used ? &copies_[0] : &copies_[1];
  LR_CHECK(!copy->used);
  copy->used = true;
  copy->job = job;
  copy->floats = tensors[0].second.numel();
  std::tie(copy->begin, copy->end) = ShardRange(copy->floats, job.rank, job.world);
  copy->names.clear();
  copy->slices.resize(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    copy->names.push_back(tensors[i].first);
    const int64_t count = copy->end - copy->begin;
    copy->slices[i].resize(static_cast<size_t>(count));
    const at::Tensor from = tensors[i].second.narrow(0, copy->begin, count).to(at::kCPU);
    memcpy(copy->slices[i].data(), from.data_ptr<float>(), static_cast<size_t>(count) * 4);
  }
  copy->stall_seconds = watch.seconds();
  in_use_.fetch_add(1);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(copy);
  }
  changed_.notify_all();
}

std::optional<CheckpointOutcome> CheckpointWriter::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (outcomes_.empty()) return std::nullopt;
  CheckpointOutcome outcome = std::move(outcomes_.front());
  outcomes_.erase(outcomes_.begin());
  return outcome;
}

void CheckpointWriter::Run() {
  while (true) {
    Copy* copy = nullptr;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return closing_ || !queue_.empty(); });
      if (closing_) return;
      copy = queue_.front();
      queue_.erase(queue_.begin());
    }
    WriteOne(copy);
  }
}

void CheckpointWriter::WriteOne(Copy* copy) {
  const Stopwatch watch;
  CheckpointOutcome outcome;
  outcome.step = copy->job.step;
  outcome.stall_seconds = copy->stall_seconds;
  outcome.status = WriteAndPublish(*copy, &outcome.published);
  outcome.write_seconds = watch.seconds();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    outcomes_.push_back(std::move(outcome));
  }
  copy->used = false;
  in_use_.fetch_sub(1);
  bell_->Ring();
}

absl::Status CheckpointWriter::WriteAndPublish(const Copy& copy, bool* published) {
  const CheckpointJob& job = copy.job;
  const std::string partial = absl::StrCat(folder_, "/", PartialName(job.step, job.incarnation));
  CheckpointShard shard;
  shard.begin = copy.begin;
  shard.end = copy.end;
  shard.coordinates.data = job.rank;
  shard.coordinates.data_world = job.world;
  std::vector<const float*> slices;
  for (const auto& slice : copy.slices) slices.push_back(slice.data());
  absl::Status status = WriteShard(partial, job.step, shard, copy.floats, copy.names, slices);
  if (!status.ok() && job.rank != 0) MarkShardFailed(partial, job.rank, job.world);
  if (job.rank != 0) return status;
  if (status.ok()) status = WaitAndPublish(copy, partial);
  *published = status.ok();
  if (!status.ok()) {
    std::error_code error;
    std::filesystem::remove_all(partial, error);
    return status;
  }
  Prune(folder_, job.keep, job.config_hash);
  return absl::OkStatus();
}

absl::Status CheckpointWriter::WaitAndPublish(const Copy& copy, const std::string& partial) {
  const CheckpointJob& job = copy.job;
  const Stopwatch watch;
  while (true) {
    auto shards = CollectShards(partial, job.world);
    if (shards.ok()) {
      CheckpointManifest manifest;
      manifest.step = job.step;
      manifest.config_hash = job.config_hash;
      manifest.layout_hash = job.layout_hash;
      manifest.floats = copy.floats;
      manifest.tensors = copy.names;
      manifest.shards = *std::move(shards);
      return Publish(folder_, partial, manifest);
    }
    if (!absl::IsUnavailable(shards.status())) return shards.status();
    if (live_.load() > job.incarnation) {
      return absl::CancelledError("the gang changed while it was being written");
    }
    if (watch.seconds() > kShardWaitSeconds) {
      return absl::DeadlineExceededError("a rank's shard did not come");
    }
    std::unique_lock<std::mutex> lock(mutex_);
    if (changed_.wait_for(lock, std::chrono::milliseconds(10), [&] { return closing_; })) {
      return absl::CancelledError("the program ends");
    }
  }
}

}  // namespace longrun::training
