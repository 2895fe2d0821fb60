#include "cli/runs/watch.h"

#include <chrono>

namespace longrun::cli {

Watch::Watch(api::Client* client, std::string run) : client_(client), run_(std::move(run)) {
  thread_ = std::thread([this] { Follow(); });
}

Watch::~Watch() {
  stop_ = true;
  thread_.join();
}

void Watch::Follow() {
  bool over = false;
  while (!stop_ && !over) {
    const absl::Status status = client_->Watch(run_, [&](const api::v1::RunView& view) {
      std::lock_guard lock(mutex_);
      newest_ = view;
      since_.Restart();
      over = view.over();
      changed_.notify_all();
      return !stop_;
    });
    {
      std::lock_guard lock(mutex_);
      status_ = status;
    }
    if (!stop_ && !over) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

std::optional<api::v1::RunView> Watch::Next(Duration patience) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::microseconds(patience.us),
                    [this] { return newest_.has_value(); });
  return std::exchange(newest_, std::nullopt);
}

double Watch::silent_seconds() const {
  std::lock_guard lock(mutex_);
  return since_.seconds();
}

absl::Status Watch::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

}  // namespace longrun::cli
