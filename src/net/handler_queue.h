// Requests that wait for a thread to handle them, so that nobody keeps the others from theirs:
//   - parties take turns: whoever has the fewest requests being handled goes first, and of equals
//     who has waited longest for a turn;
//   - large requests, which may take long, leave one thread to short ones; a party's short ones go
//     before its large ones.
// So a short request waits for one short request of each other party at the most. Any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

namespace longrun::net {

class HandlerQueue {
 public:
  // Of a body; above, a request is large.
  static constexpr int64_t kShortBytes = 16 << 10;

  // `threads` will call Run; with one alone large requests take it as well.
  explicit HandlerQueue(int threads) : threads_(threads) {}

  void Push(const std::string& party, int64_t body_bytes, std::function<void()> handle);
  // Handles what comes until Stop, and then what had come. Does not throw if no handler does.
  void Run();
  void Stop();

 private:
  struct Party {
    std::deque<std::function<void()>> brief, large;
    int running = 0;
    uint64_t last_turn = 0;
  };
  using Parties = std::map<std::string, Party>;
  bool LargeMayRun() const { return running_large_ < threads_ - 1 || threads_ == 1; }
  Parties::iterator Next();

  const int threads_;
  std::mutex mutex_;  // guards those below
  std::condition_variable wake_;
  Parties parties_;  // that have requests waiting or being handled
  int64_t waiting_ = 0;
  int running_large_ = 0;
  uint64_t turns_ = 0;
  bool stopped_ = false;
};

}  // namespace longrun::net
