// Deltas to their receivers, on a thread of its own: what they do with them (write JSON, wake a
// socket) goes beside the next step's arithmetic, not before it.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "serving/request.h"

namespace longrun::serving {

class Delivery {
 public:
  struct Item {
    std::shared_ptr<const OnDelta> receiver;
    std::string id;
    Delta delta;
  };

  // `ended` is told, on that thread, of those whose last delta was received.
  explicit Delivery(std::function<void(const std::vector<std::string>& ids)> ended);
  ~Delivery();  // once all that was handed over is received

  // Takes the batch and leaves it empty. Waits while the one before it has not been begun, so that
  // receivers who cannot keep up slow the steps down and do not fill the memory.
  void HandOver(std::vector<Item>* batch);

  bool IsThisThread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  void Run();

  const std::function<void(const std::vector<std::string>& ids)> ended_;
  std::mutex mutex_;  // guards those below
  std::condition_variable given_, begun_;
  std::vector<Item> next_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace longrun::serving
