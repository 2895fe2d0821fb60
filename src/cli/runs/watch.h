// The newest view of a run, kept fresh by a thread that follows the controller through its
// restarts.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "api/client.h"
#include "base/time.h"

namespace longrun::cli {

class Watch {
 public:
  // `client` must outlive it.
  Watch(api::Client* client, std::string run);
  ~Watch();  // waits for the thread: the controller must answer, or be gone

  // A view not taken before, waiting up to `patience` for one.
  std::optional<api::v1::RunView> Next(Duration patience);
  // For how long no view has come, and why.
  double silent_seconds() const;
  absl::Status status() const;

 private:
  void Follow();

  api::Client* client_;
  const std::string run_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::optional<api::v1::RunView> newest_;
  Stopwatch since_;
  absl::Status status_;
  std::thread thread_;
};

}  // namespace longrun::cli
