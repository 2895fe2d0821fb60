// The thread of LocalEngine that watches over the agents' processes: starts them, notices their end
// or their silence, cleans up, starts them again.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "engine/local/local_engine.h"

namespace longrun::engine {
namespace {

constexpr int kTickMillis = 200;
// A tick so late means that this process itself stood still: then no agent's silence counts.
constexpr double kHeldUpSeconds = 2;

}  // namespace

absl::Status LocalEngine::Start() {
  const std::string& program = options_.agent_command[0];
  if (::access(program.c_str(), X_OK) != 0) {
    return absl::NotFoundError(absl::StrCat("cannot execute ", program, ", the agents' program"));
  }
  LR_RETURN_IF_ERROR(MakeFolder(options_.state_folder + "/nodes"));
  LR_RETURN_IF_ERROR(EndStrangers());
  for (auto& [name, node] : nodes_) LR_RETURN_IF_ERROR(StartNode(node));
  keeper_ = std::thread([this] { Keep(); });
  return absl::OkStatus();
}

// Agents of nodes that an earlier, larger fleet had.
absl::Status LocalEngine::EndStrangers() {
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(options_.state_folder + "/nodes", error)) {
    const std::string folder = entry.path().string();
    if (nodes_.contains(entry.path().filename().string())) continue;
    if (auto agent = FindAgent(folder)) {
      SignalAgent(*agent, SIGKILL);
      pollfd ended{agent->pidfd, POLLIN, 0};
      ::poll(&ended, 1, 5000);
      BuryAgent(*agent);
    }
    LR_RETURN_IF_ERROR(SweepNode(folder));
  }
  return absl::OkStatus();
}

absl::Status LocalEngine::StartNode(Node& node) {
  node.agent = FindAgent(node.folder);
  node.adopted = node.agent.has_value();
  if (node.adopted) {
    node.session = node.agent->session;
    node.attach_before_seconds = clock_.seconds() + options_.expect_within.seconds();
    log::info("{}: its agent, process {}, lives and is taken over", node.name, node.agent->pid);
    return absl::OkStatus();
  }
  LR_RETURN_IF_ERROR(SweepNode(node.folder));
  LR_ASSIGN_OR_RETURN(node.agent, SpawnAgent(node.command, node.folder));
  node.attach_before_seconds = clock_.seconds() + std::max(30.0, options_.expect_within.seconds());
  return absl::OkStatus();
}

void LocalEngine::Interrupt() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wake_keeper_, &one, sizeof one);
}

void LocalEngine::Keep() {
  Stopwatch since_tick;
  while (true) {
    WaitForSomething();
    std::unique_lock lock(mutex_);
    if (stop_) return;
    if (since_tick.seconds() > kHeldUpSeconds) {
      for (auto& [name, node] : nodes_) node.heard.Restart();
    }
    since_tick.Restart();
    lock.unlock();
    for (auto& [name, node] : nodes_) Tend(name);  // the map itself never changes
  }
}

// Until an agent ends, somebody interrupts, or a tick is over.
void LocalEngine::WaitForSomething() {
  std::vector<pollfd> entries = {{wake_keeper_, POLLIN, 0}};
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, node] : nodes_) {
      if (node.agent) entries.push_back({node.agent->pidfd, POLLIN, 0});
    }
  }
  // Only this thread closes those descriptors.
  ::poll(entries.data(), entries.size(), kTickMillis);
  uint64_t count;
  [[maybe_unused]] const ssize_t n = ::read(wake_keeper_, &count, sizeof count);
}

void LocalEngine::Tend(const std::string& name) {
  std::unique_lock lock(mutex_);
  Node& node = nodes_.at(name);
  const double now = clock_.seconds();
  if (!node.agent) {
    if (ending_ || node.start_at_seconds < 0 || now < node.start_at_seconds) return;
    const absl::Status started = StartNode(node);
    node.start_at_seconds = started.ok() ? -1 : now + options_.repair_after.seconds();
    if (!started.ok())
      log::error("{} cannot be repaired: {}", name, std::string(started.message()));
    return;
  }
  pollfd ended{node.agent->pidfd, POLLIN, 0};
  if (::poll(&ended, 1, 0) > 0) return OnDeath(node, lock);
  if (!node.killed_because.empty()) return;
  if (node.attached && node.heard.seconds() > options_.silent_after.seconds()) {
    node.killed_because =
        absl::StrCat("its agent did not answer for ", FormatDuration(options_.silent_after));
  } else if (!node.attached && node.attach_before_seconds >= 0 &&
             now > node.attach_before_seconds) {
    node.killed_because = "its agent did not attach in time";
  } else {
    return;
  }
  log::warn("{}: {}: killed", name, node.killed_because);
  SignalAgent(*node.agent, SIGKILL);
}

void LocalEngine::OnDeath(Node& node, std::unique_lock<std::mutex>& lock) {
  AgentProcess agent = *std::exchange(node.agent, std::nullopt);
  node.burying = true;
  const std::string killed_because = std::exchange(node.killed_because, "");
  // Facts that still come are of a session that is over.
  const uint64_t session = std::exchange(node.session, 0);
  const bool known = std::exchange(node.known, false);
  const bool undecided = node.adopted && !expected_;
  node.attached = node.adopted = node.undecided = false;
  node.renew.clear();
  node.held.clear();
  node.attach_before_seconds = -1;
  lock.unlock();

  const std::string how = BuryAgent(agent);
  const std::string reason = killed_because.empty()
                                 ? absl::StrCat("its agent, process ", agent.pid, ", ", how)
                                 : killed_because;
  streams_.Drop(node.name);
  // What would not die now does before the node comes back: StartNode sweeps again.
  const absl::Status swept = SweepNode(node.folder);
  if (!swept.ok()) log::error("{}: {}", node.name, std::string(swept.message()));

  lock.lock();
  node.burying = false;
  log::log(ending_ ? log::level::info : log::level::warn, "{} is lost: {}", node.name, reason);
  // Where control has not said yet whom it expects, Expect tells the loss.
  if (known && !undecided) TellLost(node.name, session, reason, false);
  if (!ending_) node.start_at_seconds = clock_.seconds() + options_.repair_after.seconds();
  changed_.notify_all();
}

void LocalEngine::Shutdown(const std::string& reason, Duration grace) {
  std::unique_lock lock(mutex_);
  ending_ = true;
  for (auto& [name, node] : nodes_) {
    if (!node.agent) continue;
    if (!node.attached || !streams_.ShutDown(name, node.session, reason, grace)) {
      SignalAgent(*node.agent, SIGTERM);
    }
  }
  const auto all_gone = [this] {
    return std::none_of(nodes_.begin(), nodes_.end(), [](const auto& item) {
      return item.second.agent.has_value() || item.second.burying;
    });
  };
  const auto patience = std::chrono::microseconds((grace + Duration::Seconds(1)).us);
  if (!changed_.wait_for(lock, patience, all_gone)) {
    for (auto& [name, node] : nodes_) {
      if (!node.agent) continue;
      log::warn("{}: its agent did not end in time: killed", name);
      node.killed_because = "its agent did not end in time";
      SignalAgent(*node.agent, SIGKILL);
    }
    changed_.wait_for(lock, std::chrono::seconds(10), all_gone);
  }
}

}  // namespace longrun::engine
