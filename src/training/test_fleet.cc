#include "training/test_fleet.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/time.h"
#include "longrun/rank_lines.h"

namespace longrun::training {
namespace {

double Now() {
  static const Stopwatch watch;
  return watch.seconds();
}

}  // namespace

TestFleet::TestFleet(std::string worker, std::string folder, const std::string& config)
    : worker_(std::move(worker)), folder_(std::move(folder)) {
  Now();
  LR_CHECK(WriteFileAtomically(folder_ + "/gpt.yaml", config).ok());
  LR_CHECK_EQ(pipe2(wake_, O_CLOEXEC), 0);
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, (folder_ + "/agent").c_str(), sizeof address.sun_path - 1);
  unlink(address.sun_path);
  LR_CHECK_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  LR_CHECK_EQ(listen(listener_, 64), 0);
  thread_ = std::thread([this] { Serve(); });
}

TestFleet::~TestFleet() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
    for (auto& [number, member] : members_) {
      if (!member.exited) kill(member.pid, SIGKILL);
    }
  }
  LR_CHECK_EQ(write(wake_[1], "x", 1), 1);
  thread_.join();
  for (auto& [number, member] : members_) {
    if (!member.exited) waitpid(member.pid, nullptr, 0);
  }
  close(listener_);
  for (const int fd : wake_) close(fd);
}

int64_t TestFleet::Start() {
  int64_t number = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    number = next_member_++;
  }
  const std::string config = folder_ + "/gpt.yaml", log = folder_ + "/" + std::to_string(number);
  std::vector<std::string> environment = {
      "LONGRUN_SOCKET=" + folder_ + "/agent", "LONGRUN_MEMBER=" + std::to_string(number),
      "LONGRUN_RUN_DIR=" + folder_, "LOCAL_WORLD_SIZE=64", "PATH=/usr/bin:/bin"};
  std::vector<char*> env;
  for (std::string& variable : environment) env.push_back(variable.data());
  env.push_back(nullptr);
  const pid_t pid = fork();
  LR_CHECK_GE(pid, 0);
  if (pid == 0) {
    const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(out, 1);
    dup2(out, 2);
    execle(worker_.c_str(), "longrun-worker", "train", "--config", config.c_str(), nullptr,
           env.data());
    _exit(127);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  members_[number].pid = pid;
  return number;
}

void TestFleet::SetGang(const std::vector<int64_t>& members) {
  LR_CHECK(Wait([&] {
    return std::all_of(members.begin(), members.end(),
                       [&](int64_t m) { return !members_[m].endpoint.empty(); });
  }));
  const std::lock_guard<std::mutex> lock(mutex_);
  ++incarnation_;
  gang_ = members;
  gang_set_ = Now();
  first_commit_ = 0;
  RankMembership m;
  m.incarnation = incarnation_;
  m.world = m.full = static_cast<int64_t>(members.size());
  m.members = members;
  for (const int64_t number : members) m.endpoints.push_back(members_[number].endpoint);
  for (auto& [number, member] : members_) {
    if (member.exited || member.fd < 0) continue;
    const auto place = std::find(members.begin(), members.end(), number);
    m.rank = place == members.end() ? -1 : place - members.begin();
    const std::string line = FormatRankMessage(m);
    const ssize_t sent = send(member.fd, line.data(), line.size(), MSG_NOSIGNAL);
    // A member under SIGKILL has closed its socket before it can be reaped: nobody is left to tell.
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) continue;
    LR_CHECK_EQ(sent, static_cast<ssize_t>(line.size()));
  }
}

void TestFleet::Signal(int64_t number, int signal) { kill(member(number).pid, signal); }

void TestFleet::Kill(int64_t number) {
  Signal(number, SIGKILL);
  LR_CHECK(Wait([&] { return members_[number].exited; }));
}

void TestFleet::Tell(int64_t number, const std::string& line) {
  const int fd = member(number).fd;
  LR_CHECK_EQ(send(fd, line.data(), line.size(), MSG_NOSIGNAL), static_cast<ssize_t>(line.size()));
}

bool TestFleet::Wait(const std::function<bool()>& ready, double limit_seconds) {
  const double end = Now() + limit_seconds;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!ready()) {
    if (Now() > end) return false;
    changed_.wait_for(lock, std::chrono::milliseconds(5));
    Reap();
  }
  return true;
}

// With the lock held.
void TestFleet::Reap() {
  for (auto& [number, member] : members_) {
    if (!member.exited && waitpid(member.pid, &member.status, WNOHANG) == member.pid) {
      member.exited = true;
    }
  }
}

bool TestFleet::WaitHello(int64_t number, double limit_seconds) {
  return Wait([&] { return !members_[number].endpoint.empty(); }, limit_seconds);
}

bool TestFleet::WaitWaiting(int64_t number, double limit_seconds) {
  return Wait([&] { return members_[number].waiting >= 0; }, limit_seconds);
}

bool TestFleet::WaitExited(int64_t number, int code, double limit_seconds) {
  return Wait(
      [&] {
        const Member& member = members_[number];
        return member.exited && WIFEXITED(member.status) && WEXITSTATUS(member.status) == code;
      },
      limit_seconds);
}

bool TestFleet::WaitCommitted(int64_t step, double limit_seconds) {
  return Wait(
      [&] {
        return std::all_of(gang_.begin(), gang_.end(), [&](int64_t m) {
          return members_[m].joined == incarnation_ && members_[m].step >= step;
        });
      },
      limit_seconds);
}

bool TestFleet::WaitCheckpoint(double limit_seconds) {
  return Wait([&] { return !checkpoints_.empty(); }, limit_seconds);
}

bool TestFleet::WaitFinished(double limit_seconds) {
  return Wait(
      [&] {
        return std::all_of(gang_.begin(), gang_.end(), [&](int64_t m) {
          return members_[m].exited && WIFEXITED(members_[m].status) &&
                 WEXITSTATUS(members_[m].status) == 0;
        });
      },
      limit_seconds);
}

TestFleet::Member TestFleet::member(int64_t number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return members_[number];
}
std::map<int64_t, double> TestFleet::losses() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return losses_;
}
int64_t TestFleet::disagreements() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return disagreements_;
}
std::vector<std::string> TestFleet::says() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return says_;
}
std::map<std::string, double> TestFleet::metrics() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return metrics_;
}
std::set<int64_t> TestFleet::checkpoints() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return checkpoints_;
}
double TestFleet::first_commit_seconds() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return first_commit_ - gang_set_;
}

void TestFleet::Serve() {
  struct Connection {
    int fd;
    int64_t member = -1;
    RankLineBuffer buffer;
  };
  std::vector<Connection> connections;
  while (true) {
    std::vector<pollfd> entries = {{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const Connection& c : connections) entries.push_back({c.fd, POLLIN, 0});
    poll(entries.data(), entries.size(), -1);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) break;
    for (size_t i = 0; i < connections.size(); ++i) {
      if (entries[i + 2].revents == 0) continue;
      Connection& c = connections[i];
      char bytes[65536];
      const ssize_t n = read(c.fd, bytes, sizeof bytes);
      if (n <= 0) {
        close(c.fd);
        if (c.member >= 0) members_[c.member].fd = -1;
        c.fd = -1;
        continue;
      }
      c.buffer.Append(std::string_view(bytes, static_cast<size_t>(n)));
      std::string_view line;
      while (c.buffer.Next(&line)) Hear(&c.member, c.fd, line);
    }
    std::erase_if(connections, [](const Connection& c) { return c.fd < 0; });
    if (entries[1].revents != 0) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) connections.push_back({fd, -1, {}});
    }
    changed_.notify_all();
  }
  for (const Connection& c : connections) close(c.fd);
}

// With the lock held.
void TestFleet::Hear(int64_t* number, int fd, std::string_view text) {
  RankLine line;
  std::string why;
  LR_CHECK(ParseRankLine(text, &line, &why));
  const auto is = [&](auto* message) {
    return line.verb == message->kVerb && ParseRankMessage(line, message, &why);
  };
  RankHello hello;
  RankJoined joined;
  RankCommit commit;
  RankWaiting waiting;
  RankBroken broken;
  RankCheckpoint checkpoint;
  RankMetric metric;
  RankSay say;
  RankDone done;
  if (is(&hello)) {
    *number = hello.member;
    members_[*number].fd = fd;
    members_[*number].endpoint = hello.endpoint;
    return;
  }
  LR_CHECK_GE(*number, 0);
  Member& member = members_[*number];
  if (is(&joined)) {
    member.joined = joined.incarnation;
    member.joined_step = joined.step;
    member.source = joined.source;
    member.step = joined.step;
  } else if (is(&commit)) {
    member.step = commit.step;
    const auto [place, fresh] = losses_.emplace(commit.step, commit.loss);
    if (!fresh && place->second != commit.loss) ++disagreements_;
    const bool all = std::all_of(gang_.begin(), gang_.end(), [&](int64_t m) {
      return members_[m].joined == incarnation_ && members_[m].step > members_[m].joined_step;
    });
    if (all && first_commit_ == 0) first_commit_ = Now();
  } else if (is(&waiting)) {
    member.waiting = waiting.incarnation;
  } else if (is(&broken)) {
    member.broken = broken.incarnation;
  } else if (is(&checkpoint)) {
    checkpoints_.insert(checkpoint.step);
  } else if (is(&metric)) {
    metrics_[metric.name] = metric.value;
  } else if (is(&say)) {
    says_.push_back(say.text);
  } else if (is(&done)) {
    member.done = true;
  }
}

}  // namespace longrun::training
