#include "engine/local/local_engine.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/codec.h"
#include "base/log.h"

namespace longrun::engine {

LocalEngine::LocalEngine(LocalOptions options)
    : options_(std::move(options)),
      streams_(this),
      wake_keeper_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  LR_CHECK_GE(wake_keeper_, 0);
  LR_CHECK(!options_.agent_command.empty());
  LR_CHECK(options_.state_folder.starts_with('/'));
  for (int i = 0; i < options_.nodes; ++i) {
    Node& node = nodes_[absl::StrCat("node-", i)];
    node.name = absl::StrCat("node-", i);
    node.folder = absl::StrCat(options_.state_folder, "/nodes/", node.name);
    node.command = CommandOf(i, node.folder);
  }
}

LocalEngine::~LocalEngine() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  Interrupt();
  if (keeper_.joinable()) keeper_.join();
  streams_.Close();
  for (auto& [name, node] : nodes_) {
    if (node.agent) ::close(node.agent->pidfd);
  }
  ::close(wake_keeper_);
}

std::vector<std::string> LocalEngine::CommandOf(int index, const std::string& folder) const {
  std::vector<std::string> command = options_.agent_command;
  const auto add = [&](const std::string& flag, const std::string& value) {
    command.push_back(flag);
    command.push_back(value);
  };
  const int64_t times = std::max(1, options_.accelerators_per_node);
  const int64_t cpu_milli =
      options_.cpu_milli > 0 ? options_.cpu_milli : times * 1000 * ::sysconf(_SC_NPROCESSORS_ONLN);
  const int64_t memory_bytes = options_.memory_bytes > 0 ? options_.memory_bytes
                                                         : times * ::sysconf(_SC_PHYS_PAGES) *
                                                               int64_t{::sysconf(_SC_PAGESIZE)};
  add("--node", absl::StrCat("node-", index));
  add("--control", options_.control_address);
  add("--state", folder);
  add("--runs", options_.state_folder + "/runs");
  add("--accelerators", absl::StrCat(options_.accelerators_per_node));
  add("--type", options_.accelerator_type);
  add("--label", absl::StrCat("rack=rack-", index / std::max(1, options_.nodes_per_rack)));
  add("--cpu-milli", absl::StrCat(cpu_milli));
  add("--memory-bytes", absl::StrCat(memory_bytes));
  add("--orphan-after", absl::StrCat(options_.orphan_after.us / 1000, "ms"));
  add("--log-file-bytes", absl::StrCat(options_.log_file_bytes));
  add("--log-level", options_.log_level);
  return command;
}

// ---- control's side ----

std::vector<fleet::Event> LocalEngine::Observe(Duration patience) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::microseconds(patience.us),
                    [this] { return woken_ || !events_.empty(); });
  woken_ = false;
  std::vector<fleet::Event> taken(std::make_move_iterator(events_.begin()),
                                  std::make_move_iterator(events_.end()));
  events_.clear();
  return taken;
}

void LocalEngine::Wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

void LocalEngine::Acknowledge(const fleet::NodeId& node, uint64_t session, uint64_t seq) {
  // An agent that is not attached tells its facts again when it is; control folds each once.
  streams_.Acknowledge(node.text, session, seq);
}

void LocalEngine::Apply(const fleet::NodeDesired& desired) {
  const std::lock_guard lock(mutex_);
  const auto it = nodes_.find(desired.node.text);
  if (it == nodes_.end()) return;
  fleet::NodeDesired& wish = it->second.wish;
  if (desired.session != wish.session || desired.revision >= wish.revision) wish = desired;
  streams_.Desire(desired);
}

absl::Status LocalEngine::Inject(const Fault& fault) {
  const std::lock_guard lock(mutex_);
  const auto it = nodes_.find(fault.node.text);
  if (it == nodes_.end()) {
    return absl::NotFoundError(absl::StrCat("there is no node ", fault.node.text));
  }
  Node& node = it->second;
  if (!node.agent) {
    return absl::UnavailableError(absl::StrCat(node.name, " is down: its agent is not running"));
  }
  if (fault.kind == Fault::Kind::kKillNode) {
    SignalAgent(*node.agent, SIGKILL);
    return absl::OkStatus();
  }
  if (!streams_.Order(node.name, node.session, fault)) {
    return absl::UnavailableError(absl::StrCat("the agent of ", node.name, " is not attached"));
  }
  return absl::OkStatus();
}

void LocalEngine::Expect(const std::vector<fleet::Node>& nodes) {
  const std::lock_guard lock(mutex_);
  expected_ = true;
  std::map<std::string, uint64_t> up;
  for (const fleet::Node& node : nodes) {
    if (node.up) up[node.id.text] = node.session;
  }
  for (auto& [name, node] : nodes_) {
    if (!node.adopted) continue;
    const auto it = up.find(name);
    node.undecided = false;
    if (it != up.end() && it->second == node.session) {
      node.known = true;
      for (const v1::Facts& facts : node.held) Take(node, facts);
      up.erase(it);
    } else {
      node.renew = "the journal does not know the session as up";
      if (node.attached) streams_.Renew(name, node.session, node.renew);
    }
    node.held.clear();
  }
  for (const auto& [name, session] : up) {
    TellLost(name, session,
             nodes_.contains(name) ? "its agent was gone when the controller started"
                                   : "the fleet has no such node any more",
             true);
  }
}

void LocalEngine::TellLost(const std::string& node, uint64_t session, const std::string& reason,
                           bool first) {
  fleet::Event event;
  event.body = fleet::NodeLost{fleet::NodeId(node), session, reason};
  // What an earlier controller's journal lacks comes before what has happened since.
  events_.insert(first ? events_.begin() : events_.end(), std::move(event));
  changed_.notify_all();
}

// ---- the agents' side ----

bool LocalEngine::OnHello(const v1::Hello& hello) {
  const std::lock_guard lock(mutex_);
  const auto it = nodes_.find(hello.node());
  if (it == nodes_.end() || !it->second.agent || it->second.agent->pid != hello.pid()) {
    log::warn("a process {} that says it is the agent of {} was refused", hello.pid(),
              hello.node());
    return false;
  }
  Node& node = it->second;
  if (hello.session() < node.session) return false;
  if (hello.session() > node.session) {
    // Begun anew, by itself or because it was asked to.
    if (node.known) {
      TellLost(node.name, node.session, "its agent began a new session", false);
    }
    node.session = hello.session();
    node.known = node.adopted = node.undecided = false;
    node.renew.clear();
    node.held.clear();
  }
  node.attached = true;
  node.attach_before_seconds = -1;
  node.heard.Restart();
  if (node.adopted && !expected_) node.undecided = true;
  log::info("{} attached, session {}", node.name, node.session);
  if (!node.renew.empty()) {
    streams_.Renew(node.name, node.session, node.renew);
  } else if (node.wish.session == node.session) {
    streams_.Desire(node.wish);
  }
  return true;
}

void LocalEngine::OnHeard(const std::string& name, uint64_t session) {
  const std::lock_guard lock(mutex_);
  const auto it = nodes_.find(name);
  if (it != nodes_.end() && it->second.session == session) it->second.heard.Restart();
}

void LocalEngine::OnFacts(const std::string& name, uint64_t session, const v1::Facts& facts) {
  const std::lock_guard lock(mutex_);
  const auto it = nodes_.find(name);
  if (it == nodes_.end() || it->second.session != session || !it->second.renew.empty()) return;
  Node& node = it->second;
  if (node.undecided) {
    node.held.push_back(facts);
  } else {
    Take(node, facts);
  }
}

void LocalEngine::Take(Node& node, const v1::Facts& facts) {
  uint64_t seq = facts.first_seq();
  for (const std::string& body : facts.bodies()) {
    fleet::Event event;
    event.source = {fleet::NodeId(node.name), node.session, seq++};
    if (!DecodeBinary(body, event.body)) {
      log::error("{} told a fact that cannot be read (number {}, {} bytes): left out", node.name,
                 seq - 1, body.size());
      continue;
    }
    node.known = true;
    events_.push_back(std::move(event));
  }
  changed_.notify_all();
}

}  // namespace longrun::engine
