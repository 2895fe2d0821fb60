#include "agent/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace longrun::agent {

EventLoop::EventLoop()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  LR_CHECK_GE(epoll_, 0);
  LR_CHECK_GE(wake_, 0);
  Add(wake_, EPOLLIN, [this](uint32_t) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = ::read(wake_, &count, sizeof count);
    RunPosted();
  });
}

EventLoop::~EventLoop() {
  ::close(wake_);
  ::close(epoll_);
}

void EventLoop::Add(int fd, uint32_t events, Ready ready) {
  auto watch = std::make_shared<Watch>();
  watch->generation = ++generation_;
  watch->ready = std::move(ready);
  epoll_event event{};
  event.events = events;
  event.data.u64 = (uint64_t{watch->generation} << 32) | static_cast<uint32_t>(fd);
  LR_CHECK_EQ(::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), 0);
  watches_[fd] = std::move(watch);
}

void EventLoop::Change(int fd, uint32_t events) {
  const auto it = watches_.find(fd);
  LR_CHECK(it != watches_.end());
  epoll_event event{};
  event.events = events;
  event.data.u64 = (uint64_t{it->second->generation} << 32) | static_cast<uint32_t>(fd);
  LR_CHECK_EQ(::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event), 0);
}

void EventLoop::Remove(int fd) {
  if (watches_.erase(fd) > 0) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

void EventLoop::Every(Duration period, std::function<void()> tick) {
  tickers_.push_back({period, watch_.seconds() + period.seconds(), std::move(tick)});
}

void EventLoop::After(Duration delay, std::function<void()> task) {
  tickers_.push_back({Duration(), watch_.seconds() + delay.seconds(), std::move(task)});
}

void EventLoop::Post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wake_, &one, sizeof one);
}

void EventLoop::RunPosted() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (const auto& task : tasks) task();
}

int EventLoop::WaitMillis() const {
  double wait = 3600;
  for (const Ticker& ticker : tickers_) {
    wait = std::min(wait, ticker.next_seconds - watch_.seconds());
  }
  return static_cast<int>(std::ceil(std::max(0.0, wait) * 1e3));
}

void EventLoop::RunTickers() {
  const double now = watch_.seconds();
  std::vector<std::function<void()>> due;
  for (Ticker& ticker : tickers_) {
    if (now < ticker.next_seconds) continue;
    due.push_back(ticker.tick);
    ticker.next_seconds = ticker.period.us > 0 ? now + ticker.period.seconds() : -1;
  }
  std::erase_if(tickers_, [](const Ticker& ticker) { return ticker.next_seconds < 0; });
  for (const auto& tick : due) tick();
}

void EventLoop::Run() {
  epoll_event events[64];
  while (!stop_) {
    const int n = ::epoll_wait(epoll_, events, 64, WaitMillis());
    LR_CHECK(n >= 0 || errno == EINTR);
    for (int i = 0; i < n; ++i) {
      const int fd = static_cast<int>(static_cast<uint32_t>(events[i].data.u64));
      const auto it = watches_.find(fd);
      // Removed by an earlier event of this round, or its number already taken by another.
      if (it == watches_.end() || it->second->generation != events[i].data.u64 >> 32) continue;
      const std::shared_ptr<Watch> keep = it->second;
      keep->ready(events[i].events);
    }
    RunTickers();
  }
  stop_ = false;
}

}  // namespace longrun::agent
