// Writes checkpoints while training goes on. The training loop's thread copies this rank's slices
// into one of two buffers (that copy is all it waits for); a thread writes them, and on rank 0
// waits for the others' shards, publishes and prunes.
//
// Owned by the training loop, whose thread calls every method.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "training/bell.h"
#include "training/checkpoint_store.h"

namespace longrun::training {

struct CheckpointJob {
  int64_t step = 0;
  int64_t incarnation = 0;
  int64_t rank = 0, world = 1;
  uint64_t config_hash = 0, layout_hash = 0;
  int64_t keep = 3;
};

struct CheckpointOutcome {
  int64_t step = 0;
  bool published = false;    // on rank 0 alone
  absl::Status status;       // Cancelled: the membership changed, no matter
  double write_seconds = 0;  // from the copy to the end
  double stall_seconds = 0;  // what the copy took
};

class CheckpointWriter {
 public:
  CheckpointWriter(std::string folder, std::shared_ptr<Bell> bell);
  ~CheckpointWriter();  // gives up what is not written

  const std::string& folder() const { return folder_; }
  // Both buffers are in use: no copy can be made now.
  bool busy() const { return in_use_.load() >= 2; }
  bool idle() const { return in_use_.load() == 0; }
  // Copies and queues. Not when busy.
  void Write(const CheckpointJob& job, const NamedTensors& tensors);
  // What became of a job, each once, in order.
  std::optional<CheckpointOutcome> Take();
  // Jobs of incarnations before `incarnation` stop waiting for shards that may never come.
  void GiveUpBefore(int64_t incarnation) { live_.store(incarnation); }

 private:
  struct Copy {
    CheckpointJob job;
    std::vector<std::string> names;
    std::vector<std::vector<float>> slices;
    int64_t floats = 0, begin = 0, end = 0;
    double stall_seconds = 0;
    std::atomic<bool> used{false};  // set by the loop, cleared by the writer
  };
  void Run();
  void WriteOne(Copy* copy);
  absl::Status WriteAndPublish(const Copy& copy, bool* published);
  absl::Status WaitAndPublish(const Copy& copy, const std::string& partial);

  const std::string folder_;
  std::shared_ptr<Bell> bell_;
  Copy copies_[2];
  std::atomic<int> in_use_{0};
  std::atomic<int64_t> live_{-1};
  std::mutex mutex_;  // guards the queue, the outcomes and `closing_`
  std::condition_variable changed_;
  std::vector<Copy*> queue_;
  std::vector<CheckpointOutcome> outcomes_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace longrun::training
