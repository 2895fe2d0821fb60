// Nodes emulated on this machine: one agent process per node, over gRPC on a Unix socket.
//
// The agents are processes of their own and outlive the engine: a controller that is killed leaves
// its ranks running, and the next one finds the agents by the records in <state>/nodes/<node>/ and
// takes them over. An agent that dies is noticed at once (pidfd), all that it left is killed, the
// node is told lost and repaired after a while by a new agent with a new session.
//
// Use: construct; Start; serve `service()` on `control_address` (BuildServer); give it to control.
// At the end: stop control, shut the server down, then Shutdown() or not (the agents live on), then
// destroy. Engine's methods belong to control's thread; Start and Shutdown to whoever owns the
// engine.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/local/agent_process.h"
#include "engine/local/agent_streams.h"

namespace longrun::engine {

struct LocalOptions {
  std::string state_folder;     // absolute
  std::string control_address;  // "unix:" + state_folder + "/control.sock"
  // What starts an agent: flags of agent/options.h follow.
  std::vector<std::string> agent_command;  // {"/path/to/longrun", "agent"}
  int nodes = 1;
  int accelerators_per_node = 1;
  int nodes_per_rack = 2;
  std::string accelerator_type = "cpu";
  // Of one node; 0: the machine's own times the node's accelerators, for emulated nodes share it
  // and more ranks than cores should still be placed.
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  Duration silent_after = Duration::Seconds(5);  // no heartbeat: the agent is killed, the node lost
  Duration expect_within = Duration::Seconds(5);  // agents found alive must attach
  Duration repair_after = Duration::Seconds(5);   // a node whose agent died comes back
  Duration orphan_after = Duration::Minutes(10);  // agents without a controller end
  int64_t log_file_bytes = int64_t{16} << 20;
  std::string log_level = "info";  // of the agents
};

class LocalEngine : public Engine, private AgentStreams::Listener {
 public:
  explicit LocalEngine(LocalOptions options);
  ~LocalEngine() override;  // the agents live on

  // Takes over the agents that live, kills what dead ones left, starts those that are missing.
  // Before the server listens and before Expect.
  absl::Status Start();

  // Ends all agents and their ranks, SIGKILL after `grace`, and waits: nothing is left running.
  void Shutdown(const std::string& reason, Duration grace);

  grpc::Service* service() { return &streams_; }

  std::vector<fleet::Event> Observe(Duration patience) override;
  void Acknowledge(const fleet::NodeId& node, uint64_t session, uint64_t seq) override;
  void Apply(const fleet::NodeDesired& desired) override;
  absl::Status Inject(const Fault& fault) override;
  void Expect(const std::vector<fleet::Node>& nodes) override;
  void Wake() override;

 private:
  struct Node {
    std::string name;
    std::string folder;
    std::vector<std::string> command;
    std::optional<AgentProcess> agent;
    bool burying = false;    // its agent ended; what that left is being killed
    bool adopted = false;    // lived before this controller
    bool undecided = false;  // adopted, and control has not said yet what its journal knows
    bool attached = false;
    uint64_t session = 0;  // whose facts count
    bool known = false;    // control has been told of the session, or its journal knows it
    std::string renew;     // the session is over for control: why
    Stopwatch heard;
    double attach_before_seconds = -1;  // on clock_
    double start_at_seconds = -1;
    std::string killed_because;
    fleet::NodeDesired wish;      // newest, for the moment it attaches
    std::vector<v1::Facts> held;  // while undecided
  };

  bool OnHello(const v1::Hello& hello) override;
  void OnFacts(const std::string& node, uint64_t session, const v1::Facts& facts) override;
  void OnHeard(const std::string& node, uint64_t session) override;

  std::vector<std::string> CommandOf(int index, const std::string& folder) const;
  absl::Status EndStrangers();
  absl::Status StartNode(Node& node);
  void Take(Node& node, const v1::Facts& facts);
  void TellLost(const std::string& node, uint64_t session, const std::string& reason, bool first);
  void Keep();
  void WaitForSomething();
  void Tend(const std::string& name);
  void OnDeath(Node& node, std::unique_lock<std::mutex>& lock);
  void Interrupt();

  const LocalOptions options_;
  AgentStreams streams_;
  Stopwatch clock_;
  int wake_keeper_ = -1;
  std::thread keeper_;

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::deque<fleet::Event> events_;
  std::map<std::string, Node> nodes_;
  bool woken_ = false;
  bool expected_ = false;
  bool ending_ = false;  // Shutdown: nothing is started any more
  bool stop_ = false;    // the keeper ends
};

// Serves `services` on `address`; an error says what is wrong with it (in use, too long).
absl::StatusOr<std::unique_ptr<grpc::Server>> BuildServer(
    const std::string& address, const std::vector<grpc::Service*>& services);

}  // namespace longrun::engine
