#include "serving/execute/thread_pool.h"

#include "base/check.h"
#include "base/thread_name.h"

namespace longrun::serving {
namespace {

constexpr int kSpins = 4000;  // some tens of microseconds

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Returns once `value` is no longer `old`: spins first, then sleeps.
int AwaitChange(const std::atomic<int>& value, int old) {
  for (int i = 0; i < kSpins; ++i) {
    const int now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  LR_CHECK_GE(threads, 1);
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { Serve(i); });
}

ThreadPool::~ThreadPool() {
  loop_.store(-1, std::memory_order_release);
  loop_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::ForEach(int64_t units, Work work) {
  if (workers_.empty() || units <= 1) {
    for (int64_t unit = 0; unit < units; ++unit) work(unit, 0);
    return;
  }
  work_ = &work;
  units_ = units;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  const int now = loop_.load(std::memory_order_relaxed);
  loop_.store((now + 1) & 0x7fffffff, std::memory_order_release);
  loop_.notify_all();
  TakeUnits(0);
  int busy = busy_.load(std::memory_order_acquire);
  while (busy != 0) busy = AwaitChange(busy_, busy);
}

void ThreadPool::TakeUnits(int thread) {
  for (;;) {
    const int64_t unit = next_.fetch_add(1, std::memory_order_relaxed);
    if (unit >= units_) return;
    (*work_)(unit, thread);
  }
}

void ThreadPool::Serve(int thread) {
  NameThread("lr-compute");
  int seen = 0;
  for (;;) {
    seen = AwaitChange(loop_, seen);
    if (seen < 0) return;
    TakeUnits(thread);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

}  // namespace longrun::serving
