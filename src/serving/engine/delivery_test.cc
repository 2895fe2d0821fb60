#include "serving/engine/delivery.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace longrun::serving {
namespace {

Delivery::Item ItemFor(const std::shared_ptr<const OnDelta>& receiver, const std::string& id,
                       int64_t choice, bool last = false) {
  Delta delta;
  delta.choice = choice;
  delta.last = last;
  return {receiver, id, std::move(delta)};
}

TEST(Delivery, KeepsTheOrderAndTellsOfTheLastOnesOnceTheyAreReceived) {
  std::vector<std::string> seen;  // of the delivery's thread until it is gone
  const auto receiver = std::make_shared<const OnDelta>([&](const std::string& id, Delta delta) {
    seen.push_back(id + std::to_string(delta.choice));
  });
  {
    Delivery delivery([&](const std::vector<std::string>& ids) {
      for (const std::string& id : ids) seen.push_back(id + " ended");
    });
    for (int64_t i = 0; i < 3; ++i) {
      std::vector<Delivery::Item> batch;
      batch.push_back(ItemFor(receiver, "a", i, i == 1));
      batch.push_back(ItemFor(receiver, "b", i, i == 2));
      delivery.HandOver(&batch);
      EXPECT_TRUE(batch.empty());
    }
  }
  EXPECT_EQ(seen,
            (std::vector<std::string>{"a0", "b0", "a1", "b1", "a ended", "a2", "b2", "b ended"}));
}

TEST(Delivery, IsOneBatchBehindAtMost) {
  std::promise<void> go_on;
  std::shared_future<void> may_go_on = go_on.get_future().share();
  std::atomic<int> received = 0;
  const auto receiver = std::make_shared<const OnDelta>([&](const std::string&, Delta) {
    may_go_on.wait();
    ++received;
  });
  Delivery delivery([](const std::vector<std::string>&) {});
  std::vector<Delivery::Item> batch;
  for (int i = 0; i < 2; ++i) {  // one is being received, one waits: neither holds us up
    batch.push_back(ItemFor(receiver, "a", i));
    delivery.HandOver(&batch);
  }
  EXPECT_EQ(received, 0);
  batch.push_back(ItemFor(receiver, "a", 2));
  std::future<void> third = std::async(std::launch::async, [&] { delivery.HandOver(&batch); });
  EXPECT_EQ(third.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  go_on.set_value();
  third.wait();
  EXPECT_GE(received, 1);
}

}  // namespace
}  // namespace longrun::serving
