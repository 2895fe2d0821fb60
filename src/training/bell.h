// One place to wait for several things at once: a membership from the agent, a group that is built,
// a collective that ends. Whoever changes something others may wait for rings; whoever waits looks
// again.
//
// Shared by all threads of a process; outlives the threads that ring it (held by shared_ptr).
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace longrun::training {

class Bell {
 public:
  void Ring() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ++rings_;
    }
    rung_.notify_all();
  }

  // Returns once `ready()` is true. It is asked at the start, after each ring and now and then, on
  // the calling thread, without a lock held.
  template <class Ready>
  void WaitUntil(Ready ready) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      const int64_t seen = rings_;
      lock.unlock();
      if (ready()) return;
      lock.lock();
      // A library that finishes work without telling is found out by the timeout.
      rung_.wait_for(lock, std::chrono::milliseconds(50), [&] { return rings_ != seen; });
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable rung_;
  int64_t rings_ = 0;
};

}  // namespace longrun::training
