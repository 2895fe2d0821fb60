#include "serving/engine/delivery.h"

#include <sched.h>

#include <utility>

#include "base/thread_name.h"

namespace longrun::serving {
namespace {

// Waking such a thread does not take the core from whoever wakes it: here the engine's thread, on
// its way to share out the next step, with every other core waiting for that.
void NeverPreempt() {
  const sched_param none{};
  ::pthread_setschedparam(::pthread_self(), SCHED_BATCH, &none);
}

}  // namespace

Delivery::Delivery(std::function<void(const std::vector<std::string>& ids)> ended)
    : ended_(std::move(ended)), thread_([this] { Run(); }) {}

Delivery::~Delivery() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  given_.notify_all();
  thread_.join();
}

void Delivery::HandOver(std::vector<Item>* batch) {
  if (batch->empty()) return;
  {
    std::unique_lock lock(mutex_);
    begun_.wait(lock, [this] { return next_.empty(); });
    next_.swap(*batch);
  }
  given_.notify_one();
}

void Delivery::Run() {
  NameThread("lr-deliver");
  NeverPreempt();
  std::vector<Item> batch;
  std::vector<std::string> ended;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      given_.wait(lock, [this] { return stopping_ || !next_.empty(); });
      if (next_.empty()) return;
      batch.swap(next_);
    }
    begun_.notify_one();
    for (Item& item : batch) {
      if (item.delta.last) ended.push_back(item.id);
      (*item.receiver)(item.id, std::move(item.delta));
    }
    batch.clear();
    if (!ended.empty()) ended_(ended);
    ended.clear();
  }
}

}  // namespace longrun::serving
