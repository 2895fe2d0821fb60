// What a program run by Longrun includes to survive the death of its peers: it learns who is in the
// gang, says what it has done, and is told when to finish. Headers alone, C++17, the standard
// library and POSIX; the protocol is docs/rank-protocol.md.
//
//   auto rank = longrun::Rank::Connect(my_endpoint, step);   // null: not run by Longrun
//   longrun::RankMembership m;
//   while (rank->WaitMembership(seen, -1s, &m)) {            // false: told to stop
//     seen = m.incarnation;
//     if (m.rank < 0) continue;                              // a spare: wait for the next one
//     … build a group of m.world processes over m.endpoints[0], agree on the step, then
//     rank->Joined(m.incarnation, step, "peer", seconds);
//     while (rank->incarnation() == m.incarnation && TrainOneStep()) rank->Commit(…);
//   }
//
// Owned by the program, usually for its whole life. Every method may be called from any thread and
// none of them waits for the agent, except WaitMembership, which says so: what is said is queued
// and sent by a thread of its own. While the agent is away (it may be restarted under its ranks)
// the queue keeps what was said; on every new connection the hello, then the last joined and
// commit, are said again, since nobody knows which of them the old agent had read.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "longrun/rank_lines.h"

namespace longrun {

class Rank {
 public:
  // From the environment: LONGRUN_SOCKET and LONGRUN_MEMBER. Null when LONGRUN_SOCKET is not set.
  // Returns at once, whether or not the agent can be reached yet.
  static std::unique_ptr<Rank> Connect(std::string endpoint, int64_t step) {
    const char* socket = getenv("LONGRUN_SOCKET");
    if (socket == nullptr || *socket == '\0') return nullptr;
    RankHello hello;
    const char* member = getenv("LONGRUN_MEMBER");
    if (member != nullptr) hello.member = strtoll(member, nullptr, 10);
    hello.pid = getpid();
    hello.endpoint = std::move(endpoint);
    hello.step = step;
    return std::make_unique<Rank>(socket, hello);
  }

  Rank(std::string socket_path, RankHello hello)
      : path_(std::move(socket_path)), hello_(std::move(hello)) {
    if (pipe2(wake_, O_CLOEXEC | O_NONBLOCK) != 0) wake_[0] = wake_[1] = -1;
    thread_ = std::thread([this] { Run(); });
  }

  // Sends what is queued for up to a second, then closes.
  ~Rank() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      closing_ = true;
    }
    Wake();
    thread_.join();
    for (const int fd : wake_) {
      if (fd >= 0) close(fd);
    }
  }
  Rank(const Rank&) = delete;
  Rank& operator=(const Rank&) = delete;

  // Waits for a membership newer than incarnation `than`, up to `timeout` (negative: for ever).
  // True and `*out` filled when there is one; false when the time is over or a stop was asked for.
  // A stop does not hide a newer membership that is already here.
  bool WaitMembership(int64_t than, std::chrono::milliseconds timeout, RankMembership* out) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto ready = [&] { return newest_.incarnation > than || stop_.load(); };
    if (timeout.count() < 0) {
      changed_.wait(lock, ready);
    } else {
      changed_.wait_for(lock, timeout, ready);
    }
    if (newest_.incarnation <= than) return false;
    *out = newest_;
    return true;
  }

  // The newest incarnation heard of; -1 before the first. An atomic load: for asking often.
  int64_t incarnation() const { return incarnation_.load(std::memory_order_acquire); }
  bool stop_requested() const { return stop_.load(std::memory_order_acquire); }
  std::string stop_reason() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return stop_reason_;
  }
  // The program's own wish to finish (it got SIGTERM); wakes WaitMembership. Not for signal
  // handlers.
  void RequestStop(const std::string& reason) {
    SetStop(reason);
    Notify();
  }

  // `callback` runs on the connection's thread after each newer membership and after a stop; it
  // must not block. Null takes it away; when this returns, the old one is not running any more.
  void OnChange(std::function<void()> callback) {
    std::lock_guard<std::mutex> lock(callback_mutex_);
    callback_ = std::move(callback);
  }

  void Joined(int64_t incarnation, int64_t step, const std::string& source, double seconds) {
    const std::string line = FormatRankMessage(RankJoined{incarnation, step, source, seconds});
    std::lock_guard<std::mutex> lock(mutex_);
    hello_.step = step;
    last_joined_ = line;
    last_commit_.clear();
    Enqueue(line);
  }
  void Commit(int64_t incarnation, int64_t step, double loss, int64_t tokens, double seconds) {
    const std::string line =
        FormatRankMessage(RankCommit{incarnation, step, loss, tokens, seconds});
    std::lock_guard<std::mutex> lock(mutex_);
    hello_.step = step;
    last_commit_ = line;
    Enqueue(line);
  }
  // A collective of the step in flight takes seconds, this rank's own part done. Once a wait.
  void Waiting(int64_t incarnation) {
    std::lock_guard<std::mutex> lock(mutex_);
    Enqueue(FormatRankMessage(RankWaiting{incarnation, hello_.step}));
  }
  void Broken(int64_t incarnation, const std::string& what) {
    Send(FormatRankMessage(RankBroken{incarnation, what}));
  }
  void Checkpoint(int64_t step, double seconds, double stall) {
    Send(FormatRankMessage(RankCheckpoint{step, seconds, stall}));
  }
  void Metric(const std::string& name, double value, int64_t step) {
    Send(FormatRankMessage(RankMetric{name, value, step}));
  }
  void Say(const std::string& text) { Send(FormatRankMessage(RankSay{text})); }
  void Done(int64_t step) { Send(FormatRankMessage(RankDone{step})); }

  int64_t member() const { return hello_.member; }

 private:
  // Beyond this much unsent text the oldest lines are dropped: an agent that is away for hours must
  // not fill the rank's memory. The last joined and commit are kept apart and never lost.
  static constexpr size_t kQueueLimitBytes = size_t{4} << 20;

  void Send(const std::string& line) {
    std::lock_guard<std::mutex> lock(mutex_);
    Enqueue(line);
  }

  // With mutex_ held.
  void Enqueue(const std::string& line) {
    queue_.push_back(line);
    queued_bytes_ += line.size();
    while (queued_bytes_ > kQueueLimitBytes && queue_.size() > 1) {
      // The front line may be partly written; the one after it is the oldest that can go.
      queued_bytes_ -= queue_[1].size();
      queue_.erase(queue_.begin() + 1);
    }
    Flush();
    if (!queue_.empty()) Wake();
  }

  // With mutex_ held: writes what the socket takes at once. Done by the caller's thread, for a
  // commit should not wait until another thread gets a core.
  void Flush() {
    while (fd_ >= 0 && (!greeting_.empty() || !queue_.empty())) {
      const bool greeting = !greeting_.empty();
      const std::string& line = greeting ? greeting_ : queue_.front();
      const ssize_t n =
          send(fd_, line.data() + sent_, line.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) shutdown(fd_, SHUT_RDWR);
        return;
      }
      sent_ += static_cast<size_t>(n);
      if (sent_ < line.size()) return;
      sent_ = 0;
      if (greeting) {
        greeting_.clear();
      } else {
        queued_bytes_ -= line.size();
        queue_.pop_front();
      }
    }
  }

  void Wake() {
    const char byte = 0;
    if (wake_[1] >= 0 && write(wake_[1], &byte, 1) < 0) {
      // A full pipe wakes as well as one more byte would.
    }
  }

  void Run() {
    int backoff_ms = 10;
    while (!Closing()) {
      if (Open()) {
        backoff_ms = 10;
        Serve();
        Close();
      }
      if (Closing()) return;
      Pause(backoff_ms);
      backoff_ms = backoff_ms * 2 < 1000 ? backoff_ms * 2 : 1000;
    }
  }

  bool Closing() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return closing_;
  }

  // Sleeps, but wakes when the object is being destroyed.
  void Pause(int milliseconds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    while (!Closing()) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          end - std::chrono::steady_clock::now());
      if (left.count() <= 0) return;
      pollfd entry{wake_[0], POLLIN, 0};
      poll(&entry, 1, static_cast<int>(left.count()) + 1);
      DrainWake();
    }
  }

  void DrainWake() {
    char bytes[64];
    while (wake_[0] >= 0 && read(wake_[0], bytes, sizeof bytes) > 0) {
    }
  }

  bool Open() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) return false;
    memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      close(fd);
      return false;
    }
    std::lock_guard<std::mutex> lock(mutex_);
    // A line cut by the old connection's end is said again from its beginning; what was last joined
    // and committed may have been lost on the way, and saying it twice does no harm.
    sent_ = 0;
    greeting_ = FormatRankMessage(hello_) + last_joined_ + last_commit_;
    fd_ = fd;
    Flush();
    return true;
  }

  void Close() {
    std::lock_guard<std::mutex> lock(mutex_);
    close(fd_);
    fd_ = -1;
  }

  // Reads and writes until the connection ends or the object is being destroyed.
  void Serve() {
    RankLineBuffer buffer;
    const auto forever = std::chrono::steady_clock::time_point::max();
    auto end = forever;
    while (std::chrono::steady_clock::now() < end) {
      short events = POLLIN;
      {
        std::lock_guard<std::mutex> lock(mutex_);
        const bool idle = greeting_.empty() && queue_.empty();
        if (!idle) events |= POLLOUT;
        if (closing_) {
          if (idle) return;
          if (end == forever) end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
        }
      }
      pollfd entries[2] = {{fd_, events, 0}, {wake_[0], POLLIN, 0}};
      if (poll(entries, 2, end == forever ? -1 : 100) < 0 && errno != EINTR) return;
      if (entries[1].revents != 0) DrainWake();
      if (entries[0].revents & POLLOUT) {
        std::lock_guard<std::mutex> lock(mutex_);
        Flush();
      }
      if (entries[0].revents & (POLLIN | POLLHUP | POLLERR)) {
        char bytes[16384];
        const ssize_t n = recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) return;
        if (n > 0) buffer.Append(std::string_view(bytes, static_cast<size_t>(n)));
      }
      std::string_view text;
      while (buffer.Next(&text)) Hear(text);
    }
  }

  // A line that is malformed is ignored: there is nobody to complain to who could mend it.
  void Hear(std::string_view text) {
    RankLine line;
    std::string why;
    if (!ParseRankLine(text, &line, &why)) return;
    if (line.verb == RankMembership::kVerb) {
      RankMembership m;
      if (!ParseRankMessage(line, &m, &why) || !CheckRankMembership(m, &why)) return;
      {
        std::lock_guard<std::mutex> lock(mutex_);
        if (m.incarnation <= newest_.incarnation) return;
        newest_ = std::move(m);
        incarnation_.store(newest_.incarnation, std::memory_order_release);
      }
      Notify();
    } else if (line.verb == RankStop::kVerb) {
      RankStop stop;
      if (!ParseRankMessage(line, &stop, &why)) return;
      SetStop(stop.reason);
      Notify();
    } else if (line.verb == RankPing::kVerb) {
      RankPing ping;
      if (!ParseRankMessage(line, &ping, &why)) return;
      std::lock_guard<std::mutex> lock(mutex_);
      Enqueue(FormatRankMessage(RankPong{ping.n, hello_.step}));
    }
  }

  void SetStop(const std::string& reason) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!stop_.load()) stop_reason_ = reason;
    stop_.store(true, std::memory_order_release);
  }

  void Notify() {
    changed_.notify_all();
    std::lock_guard<std::mutex> lock(callback_mutex_);
    if (callback_) callback_();
  }

  const std::string path_;
  int wake_[2] = {-1, -1};
  std::thread thread_;
  std::atomic<int64_t> incarnation_{-1};
  std::atomic<bool> stop_{false};
  std::condition_variable changed_;
  std::mutex callback_mutex_;  // held while the callback runs
  std::function<void()> callback_;

  mutable std::mutex mutex_;  // guards all below
  RankHello hello_;
  RankMembership newest_ = [] {
    RankMembership none;
    none.incarnation = -1;
    return none;
  }();
  std::string stop_reason_;
  std::deque<std::string> queue_;  // whole lines; the first may be sent in part
  std::string greeting_;           // goes before the queue on a new connection
  size_t sent_ = 0;                // bytes sent of the greeting, or else of the first line
  size_t queued_bytes_ = 0;
  std::string last_joined_;
  std::string last_commit_;
  int fd_ = -1;  // written with the mutex held, by the connection's thread alone
  bool closing_ = false;
};

}  // namespace longrun
