// One thread that waits for many file descriptors: the agent's core. Everything the agent does to
// processes, sockets and files happens on it, one thing at a time.
//
// Owned by the thread that calls Run; every method is for that thread, but for Post.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/time.h"

namespace longrun::agent {

class EventLoop {
 public:
  using Ready = std::function<void(uint32_t events)>;

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // `ready` runs when any of `events` (EPOLLIN, EPOLLOUT) or a hang-up is there; it may add and
  // remove descriptors, its own included. The descriptor stays the caller's.
  void Add(int fd, uint32_t events, Ready ready);
  void Change(int fd, uint32_t events);
  void Remove(int fd);

  // Calls `tick` about each `period`, after whatever the descriptors had to say: a loop that was
  // held up sees the answers that came meanwhile before it counts them as missing.
  void Every(Duration period, std::function<void()> tick);

  // Calls `task` once, after `delay`.
  void After(Duration delay, std::function<void()> task);

  // Runs `task` on the loop's thread. Any thread.
  void Post(std::function<void()> task);

  // Until Stop; may be called again.
  void Run();
  void Stop() { stop_ = true; }

 private:
  struct Watch {
    uint32_t generation = 0;
    Ready ready;
  };
  struct Ticker {
    Duration period;          // 0: once
    double next_seconds = 0;  // on watch_
    std::function<void()> tick;
  };
  void RunPosted();
  void RunTickers();
  int WaitMillis() const;

  int epoll_ = -1;
  int wake_ = -1;
  bool stop_ = false;
  uint32_t generation_ = 0;
  Stopwatch watch_;
  std::map<int, std::shared_ptr<Watch>> watches_;
  std::vector<Ticker> tickers_;
  std::mutex mutex_;  // guards posted_
  std::vector<std::function<void()>> posted_;
};

}  // namespace longrun::agent
