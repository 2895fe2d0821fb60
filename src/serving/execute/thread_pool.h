// Threads for loops of a few microseconds to a few milliseconds: fork and join. Workers spin for
// some tens of microseconds between loops and then sleep, so that an idle server burns nothing.
// One thread at a time calls ForEach; the pool is made and destroyed by its owner.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace longrun::serving {

class ThreadPool {
 public:
  // `threads` >= 1, the caller of ForEach among them.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls work(unit, thread) once for each unit below `units`, thread in [0, threads()); which
  // thread takes which unit is left to chance. Returns when all are done.
  using Work = absl::FunctionRef<void(int64_t unit, int thread)>;
  void ForEach(int64_t units, Work work);

 private:
  void Serve(int thread);
  void TakeUnits(int thread);

  std::vector<std::thread> workers_;
  const Work* work_ = nullptr;  // of the loop under way
  int64_t units_ = 0;
  // Each on a line of its own: they are written by all.
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int> busy_{0};
  alignas(64) std::atomic<int> loop_{0};  // counts the loops; negative: the end
};

}  // namespace longrun::serving
