#include "net/handler_queue.h"

#include <tuple>
#include <utility>

namespace longrun::net {

void HandlerQueue::Push(const std::string& party, int64_t body_bytes,
                        std::function<void()> handle) {
  {
    const std::lock_guard lock(mutex_);
    Party& of = parties_[party];
    (body_bytes > kShortBytes ? of.large : of.brief).push_back(std::move(handle));
    ++waiting_;
  }
  wake_.notify_one();
}

// Whose turn it is; the end where nobody's.
HandlerQueue::Parties::iterator HandlerQueue::Next() {
  auto next = parties_.end();
  for (auto it = parties_.begin(); it != parties_.end(); ++it) {
    const Party& party = it->second;
    if (party.brief.empty() && (party.large.empty() || !LargeMayRun())) continue;
    if (next == parties_.end() || std::tie(party.running, party.last_turn) <
                                      std::tie(next->second.running, next->second.last_turn)) {
      next = it;
    }
  }
  return next;
}

void HandlerQueue::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    auto turn = parties_.end();
    wake_.wait(lock, [&] {
      turn = Next();
      return turn != parties_.end() || (stopped_ && waiting_ == 0);
    });
    if (turn == parties_.end()) return;
    Party& party = turn->second;
    const bool large = party.brief.empty();
    std::deque<std::function<void()>>& line = large ? party.large : party.brief;
    std::function<void()> handle = std::move(line.front());
    line.pop_front();
    --waiting_;
    ++party.running;
    party.last_turn = ++turns_;
    running_large_ += large;
    lock.unlock();
    handle();
    handle = nullptr;  // and what it holds, before another is taken
    lock.lock();
    running_large_ -= large;
    if (--party.running == 0 && party.brief.empty() && party.large.empty()) parties_.erase(turn);
    if (waiting_ > 0 || stopped_) wake_.notify_all();
  }
}

void HandlerQueue::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_all();
}

}  // namespace longrun::net
