#include "serving/execute/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace longrun::serving {
namespace {

TEST(ThreadPool, EveryUnitIsDoneOnceBeforeForEachReturns) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t units = 0; units < 300; ++units) {
      std::vector<int> done(static_cast<size_t>(units), 0);
      std::atomic<bool> outside = false;
      pool.ForEach(units, [&](int64_t unit, int thread) {
        ++done[static_cast<size_t>(unit)];
        if (thread < 0 || thread >= threads) outside = true;
      });
      EXPECT_EQ(done, std::vector<int>(static_cast<size_t>(units), 1));
      EXPECT_FALSE(outside);
    }
  }
}

TEST(ThreadPool, WorkersThatFellAsleepWakeUp) {
  ThreadPool pool(3);
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int> sum = 0;
    pool.ForEach(10, [&](int64_t unit, int) { sum += static_cast<int>(unit); });
    EXPECT_EQ(sum, 45);
  }
}

}  // namespace
}  // namespace longrun::serving
