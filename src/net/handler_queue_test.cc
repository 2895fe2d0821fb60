#include "net/handler_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"

namespace longrun::net {
namespace {

constexpr int64_t kLarge = HandlerQueue::kShortBytes + 1;
constexpr absl::Duration kPatience = absl::Seconds(60);

// A queue with threads of its own, and what ran on them in that order.
class HandlerQueueTest : public testing::Test {
 protected:
  void Start(int threads) {
    queue_ = std::make_unique<HandlerQueue>(threads);
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { queue_->Run(); });
  }
  void Finish() {
    queue_->Stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  void Push(const std::string& party, int64_t bytes) {
    queue_->Push(party, bytes, [this, party] {
      const std::lock_guard lock(mutex_);
      ran_.push_back(party);
    });
  }
  // Keeps a thread until `end`.
  void Block(const std::string& party, int64_t bytes, absl::Notification* end) {
    queue_->Push(party, bytes, [this, end] {
      ++blocked_;
      end->WaitForNotification();
    });
  }
  void AwaitBlocked(int count) {
    while (blocked_ < count) std::this_thread::yield();
  }

  std::unique_ptr<HandlerQueue> queue_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::vector<std::string> ran_;
  std::atomic<int> blocked_{0};
};

TEST_F(HandlerQueueTest, LargeRequestsLeaveAThreadToShortOnes) {
  Start(4);
  absl::Notification end, handled;
  for (int i = 0; i < 20; ++i) Block(i % 2 == 0 ? "greedy" : "another", kLarge, &end);
  AwaitBlocked(3);
  queue_->Push("small", 10, [&] { handled.Notify(); });
  EXPECT_TRUE(handled.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(blocked_, 3);
  end.Notify();
  Finish();
  EXPECT_EQ(blocked_, 20);
}

TEST_F(HandlerQueueTest, PartiesTakeTurns) {
  Start(1);
  absl::Notification end;
  Block("greedy", 1, &end);
  AwaitBlocked(1);
  for (int i = 0; i < 50; ++i) Push("greedy", 1);
  for (int i = 0; i < 2; ++i) Push("b", 1);
  for (int i = 0; i < 2; ++i) Push("c", kLarge);
  end.Notify();
  Finish();
  ASSERT_EQ(ran_.size(), 54u);
  const std::vector<std::string> first(ran_.begin(), ran_.begin() + 6);
  EXPECT_EQ(std::count(first.begin(), first.end(), "b"), 2);
  EXPECT_EQ(std::count(first.begin(), first.end(), "c"), 2);
}

TEST_F(HandlerQueueTest, WhoHasNoneBeingHandledGoesBeforeWhoHas) {
  Start(3);
  absl::Notification first, second;
  Block("greedy", kLarge, &first);
  Block("greedy", kLarge, &second);
  AwaitBlocked(2);
  absl::Notification end;
  for (int i = 0; i < 9; ++i) Block("greedy", kLarge, &end);
  absl::Notification handled;
  queue_->Push("other", kLarge, [&] { handled.Notify(); });
  first.Notify();
  EXPECT_TRUE(handled.WaitForNotificationWithTimeout(kPatience)) << "nine were there before it";
  second.Notify();
  end.Notify();
  Finish();
}

TEST_F(HandlerQueueTest, APartysShortRequestsGoBeforeItsLargeOnes) {
  Start(1);
  absl::Notification end;
  Block("a", 1, &end);
  AwaitBlocked(1);
  std::vector<int64_t> order;
  for (const int64_t bytes : {kLarge, int64_t{5}, kLarge, int64_t{6}}) {
    queue_->Push("a", bytes, [&order, bytes] { order.push_back(bytes); });
  }
  end.Notify();
  Finish();  // and what had come is handled
  EXPECT_THAT(order, testing::ElementsAre(5, 6, kLarge, kLarge));
}

}  // namespace
}  // namespace longrun::net
