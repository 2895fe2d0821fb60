// What is the local engine's own, beyond the contract of all engines: real processes that are
// killed, stopped and left behind.
#include "engine/local/local_engine.h"

#include <functional>
#include <map>
#include <set>
#include <utility>

#include "base/file.h"
#include "engine/local/local_fleet_for_tests.h"
#include "gtest/gtest.h"

namespace longrun::engine {
namespace {

using fleet::DesiredMember;
using Do = fleet::DesiredMember::Do;

class LocalEngineTest : public testing::Test {
 protected:
  explicit LocalEngineTest(int nodes = 1) : fleet_(nodes, 4), count_(nodes) {}

  void SetUp() override {
    fleet_.StartController();
    engine().Expect({});
    ASSERT_TRUE(Until([&] { return static_cast<int>(sessions_.size()) == count_; }));
  }

  LocalEngine& engine() { return *fleet_.engine; }

  bool Until(const std::function<bool()>& done, double patience_seconds = 20) {
    const Stopwatch watch;
    while (!done()) {
      if (watch.seconds() > patience_seconds) return false;
      for (fleet::Event& event : engine().Observe(Duration::Millis(20))) Take(std::move(event));
    }
    return true;
  }

  void Take(fleet::Event event) {
    if (!event.source.node.empty()) {
      uint64_t& newest = newest_[event.source.session];
      EXPECT_LE(event.source.seq, newest + 1) << "a fact was left out";
      if (event.source.seq <= newest) return;  // repeated: a fold would pass over it
      newest = event.source.seq;
      if (acknowledge_) {
        engine().Acknowledge(event.source.node, event.source.session, event.source.seq);
      }
    }
    if (const auto* joined = std::get_if<fleet::NodeJoined>(&event.body)) {
      sessions_[joined->node.text] = joined->session;
      labels_[joined->node.text] = joined->labels;
    }
    if (const auto* lost = std::get_if<fleet::NodeLost>(&event.body)) {
      lost_[lost->node.text] = *lost;
    }
    events_.push_back(std::move(event));
  }

  template <class T>
  std::vector<T> All() const {
    std::vector<T> all;
    for (const fleet::Event& event : events_) {
      if (const T* body = std::get_if<T>(&event.body)) all.push_back(*body);
    }
    return all;
  }
  template <class T>
  bool WaitFor() {
    return Until([&] { return !All<T>().empty(); });
  }

  void Wish(const std::vector<std::string>& command, Do action = Do::kRun,
            const std::string& node = "node-0") {
    fleet::RunSpec spec;
    spec.name = fleet::RunId("run");
    spec.command = command;
    spec.grace = Duration::Millis(300);
    spec.silent_after = Duration::Seconds(1);
    DesiredMember member{.run = spec.name, .member = 1, .action = action};
    member.accelerators = {0};
    member.incarnation = 1;
    member.rank = 0;
    member.world = 1;
    fleet::NodeDesired desired;
    desired.node = fleet::NodeId(node);
    desired.session = sessions_[node];
    desired.revision = ++revision_;
    desired.members = {member};
    desired.specs[spec.name] = spec;
    desired.memberships = memberships_;
    engine().Apply(desired);
  }

  fleet::Node Up(const std::string& name) {
    fleet::Node node;
    node.id = fleet::NodeId(name);
    node.session = sessions_[name];
    node.up = true;
    return node;
  }

  LocalFleet fleet_;
  const int count_;
  std::vector<fleet::Event> events_;
  std::map<uint64_t, uint64_t> newest_;
  std::map<std::string, uint64_t> sessions_;
  std::map<std::string, std::map<std::string, std::string>> labels_;
  std::map<std::string, fleet::NodeLost> lost_;
  std::vector<fleet::DesiredMembership> memberships_;
  uint64_t revision_ = 0;
  bool acknowledge_ = true;
};

class ThreeNodes : public LocalEngineTest {
 protected:
  ThreeNodes() : LocalEngineTest(3) {}
};

TEST_F(ThreeNodes, NodesOfTheFleetAreSpreadOverRacks) {
  EXPECT_EQ(labels_["node-0"]["rack"], "rack-0");
  EXPECT_EQ(labels_["node-1"]["rack"], "rack-0");
  EXPECT_EQ(labels_["node-2"]["rack"], "rack-1");
}

TEST_F(ThreeNodes, ASmallerFleetLeavesNothingOfTheLargerOne) {
  Wish({"/bin/sleep", "1000"}, Do::kRun, "node-2");
  ASSERT_TRUE(WaitFor<fleet::MemberStarted>());
  const int agent = fleet_.AgentPid("node-2");
  ASSERT_GT(agent, 0);
  fleet_.StopController();
  fleet_.options.nodes = 2;
  fleet_.StartController();
  EXPECT_TRUE(fleet_.Processes("node-2").empty());
  EXPECT_EQ(fleet_.AgentPid("node-2"), -1);
  engine().Expect({Up("node-0"), Up("node-1"), Up("node-2")});
  ASSERT_TRUE(Until([&] { return lost_.contains("node-2"); }));
  EXPECT_EQ(lost_.size(), 1u);
}

// The heart of it: controllers come and go while a rank commits thousands of steps.
TEST_F(LocalEngineTest, NoFactIsLostAndNoRankNoticesWhenControllersAreReplaced) {
  fleet::DesiredMembership membership;
  membership.run = fleet::RunId("run");
  membership.incarnation = 1;
  membership.members = {1};
  membership.endpoints = {"127.0.0.1:1"};
  membership.full = 1;
  memberships_ = {membership};
  constexpr int64_t kSteps = 3000;
  Wish(fleet_.Shell("exec " LONGRUN_RANK_FOR_TESTS " commit " + std::to_string(kSteps) + " 500"));
  for (int restart = 0; restart < 4; ++restart) {
    const size_t before = All<fleet::MemberCommitted>().size();
    ASSERT_TRUE(Until([&] { return All<fleet::MemberCommitted>().size() > before + 50; }));
    acknowledge_ = restart != 1;  // one of them takes facts and dies before its journal has them
    fleet_.StopController();
    fleet_.StartController();
    engine().Expect({Up("node-0")});
  }
  acknowledge_ = true;
  ASSERT_TRUE(Until([&] {
    const auto commits = All<fleet::MemberCommitted>();
    return !commits.empty() && commits.back().step == kSteps;
  }));
  const auto commits = All<fleet::MemberCommitted>();
  ASSERT_EQ(static_cast<int64_t>(commits.size()), kSteps);
  for (int64_t i = 0; i < kSteps; ++i) ASSERT_EQ(commits[i].step, i + 1);
  EXPECT_EQ(All<fleet::MemberStarted>().size(), 1u);
  EXPECT_EQ(All<fleet::MemberReady>().size(), 1u) << "the rank had to connect anew";
  EXPECT_EQ(fleet_.Starts("run", 1), 1);
  EXPECT_TRUE(lost_.empty());
}

TEST_F(LocalEngineTest, WhatAKilledAgentLeavesIsKilledDownToDaemons) {
  // A child in the group without the environment, and a daemon that left the group with it.
  Wish(fleet_.Shell("env -i /bin/sleep 1001 & (setsid /bin/sleep 1002 &) ; exec sleep 1003"));
  ASSERT_TRUE(WaitFor<fleet::MemberStarted>());
  const int leader = static_cast<int>(All<fleet::MemberStarted>()[0].pid);
  const auto alive = [&] {
    std::set<int> pids;
    for (const int pid : fleet_.Processes("node-0")) pids.insert(pid);
    for (const ProcessInfo& process : AllProcesses()) {
      if (process.group == leader && process.state != 'Z') pids.insert(process.pid);
    }
    return pids;
  };
  ASSERT_TRUE(Until([&] { return alive().size() == 3; }));
  const std::set<int> before = alive();
  const uint64_t session = sessions_["node-0"];
  ::kill(fleet_.AgentPid("node-0"), SIGKILL);
  ASSERT_TRUE(Until([&] { return lost_.contains("node-0"); }));
  EXPECT_EQ(lost_["node-0"].session, session);
  EXPECT_NE(lost_["node-0"].reason.find("signal 9"), std::string::npos) << lost_["node-0"].reason;
  for (const int pid : before) {
    const auto info = ReadProcess(pid);
    EXPECT_TRUE(!info || info->state == 'Z' || info->group != leader) << pid << " lives";
  }
  EXPECT_TRUE(fleet_.Processes("node-0").empty());
  ASSERT_TRUE(Until([&] { return sessions_["node-0"] > session; })) << "the node was not repaired";
}

TEST_F(LocalEngineTest, TheEndOfAMemberTakesItsChildrenAlong) {
  Wish(fleet_.Shell("env -i /bin/sleep 1001 & (setsid /bin/sleep 1002 &) ; sleep 0.2; exit 3"));
  ASSERT_TRUE(WaitFor<fleet::MemberExited>());
  EXPECT_EQ(All<fleet::MemberExited>()[0].code, 3);
  EXPECT_TRUE(Until([&] { return fleet_.Processes("node-0").empty(); }));
  const int leader = static_cast<int>(All<fleet::MemberStarted>()[0].pid);
  for (const ProcessInfo& process : AllProcesses()) {
    EXPECT_TRUE(process.group != leader || process.state == 'Z') << process.pid;
  }
}

TEST_F(LocalEngineTest, AnAgentThatStandsStillIsKilledAndItsNodeLost) {
  fleet_.StopController();
  fleet_.options.silent_after = Duration::Millis(1500);
  fleet_.StartController();
  engine().Expect({Up("node-0")});
  Wish({"/bin/sleep", "1000"});
  ASSERT_TRUE(WaitFor<fleet::MemberStarted>());
  ::kill(fleet_.AgentPid("node-0"), SIGSTOP);
  ASSERT_TRUE(Until([&] { return lost_.contains("node-0"); }));
  EXPECT_NE(lost_["node-0"].reason.find("did not answer"), std::string::npos);
  EXPECT_TRUE(fleet_.Processes("node-0").empty());
}

TEST_F(LocalEngineTest, AnAgentThatDiedWhileNoControllerWasThereIsToldLost) {
  Wish(fleet_.Shell("trap '' TERM; while :; do sleep 1; done"));
  ASSERT_TRUE(WaitFor<fleet::MemberStarted>());
  const fleet::Node up = Up("node-0");
  fleet_.StopController();
  ::kill(fleet_.AgentPid("node-0"), SIGKILL);
  ASSERT_TRUE([&] {
    for (int i = 0; i < 500 && fleet_.AgentPid("node-0") > 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return fleet_.AgentPid("node-0") == -1;
  }());
  fleet_.StartController();
  EXPECT_TRUE(fleet_.Processes("node-0").empty());
  engine().Expect({up});
  ASSERT_TRUE(Until([&] { return lost_.contains("node-0"); }));
  EXPECT_EQ(lost_["node-0"].session, up.session);
  ASSERT_TRUE(Until([&] { return sessions_["node-0"] > up.session; }));
}

TEST_F(LocalEngineTest, ARankThatIsStoppedIsToldSilentWhetherItSpeaksTheProtocolOrNot) {
  for (const std::string& command :
       {std::string("exec sleep 1000"), std::string("exec " LONGRUN_RANK_FOR_TESTS " speak")}) {
    events_.clear();
    Wish(fleet_.Shell(command));
    ASSERT_TRUE(WaitFor<fleet::MemberStarted>());
    if (command.find("speak") != std::string::npos) {
      ASSERT_TRUE(WaitFor<fleet::MemberReady>());
    }
    ::kill(static_cast<int>(All<fleet::MemberStarted>()[0].pid), SIGSTOP);
    ASSERT_TRUE(WaitFor<fleet::MemberSilent>());
    EXPECT_GE(All<fleet::MemberSilent>()[0].seconds, 1.0);
    Wish(fleet_.Shell(command), Do::kKill);
    ASSERT_TRUE(WaitFor<fleet::MemberExited>());
    EXPECT_EQ(All<fleet::MemberExited>()[0].signal, SIGKILL);
    // A new session, so that the same member may start again.
    const uint64_t session = sessions_["node-0"];
    ::kill(fleet_.AgentPid("node-0"), SIGKILL);
    ASSERT_TRUE(Until([&] { return sessions_["node-0"] > session; }));
  }
}

TEST_F(LocalEngineTest, ALivingRankIsNeverToldSilent) {
  Wish(fleet_.Shell("exec " LONGRUN_RANK_FOR_TESTS " speak"));
  ASSERT_TRUE(WaitFor<fleet::MemberReady>());
  EXPECT_FALSE(Until([&] { return !All<fleet::MemberSilent>().empty(); }, 2.5));
}

TEST_F(LocalEngineTest, ShutdownLeavesNothingRunning) {
  Wish(fleet_.Shell("trap '' TERM; while :; do sleep 1; done"));
  ASSERT_TRUE(WaitFor<fleet::MemberStarted>());
  const int agent = fleet_.AgentPid("node-0");
  const auto cgroup = ReadFile(fleet_.NodeFolder("node-0") + "/cgroup");
  engine().Shutdown("enough", Duration::Millis(200));
  if (cgroup.ok()) {
    EXPECT_FALSE(std::filesystem::exists(*cgroup));
  }
  EXPECT_TRUE(fleet_.Processes("node-0").empty());
  const auto info = ReadProcess(agent);
  EXPECT_TRUE(!info || info->state == 'Z');
}

TEST_F(LocalEngineTest, AnAgentWithoutAControllerEndsItsRanksAndItself) {
  fleet_.options.orphan_after = Duration::Seconds(1);
  const uint64_t session = sessions_["node-0"];
  ::kill(fleet_.AgentPid("node-0"), SIGKILL);  // the next one knows the shorter time
  fleet_.StopController();
  fleet_.StartController();
  engine().Expect({});
  ASSERT_TRUE(Until([&] { return sessions_["node-0"] > session; }));
  Wish({"/bin/sleep", "1000"});
  ASSERT_TRUE(WaitFor<fleet::MemberStarted>());
  fleet_.StopController();
  for (int i = 0; i < 1000 && fleet_.AgentPid("node-0") > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(fleet_.AgentPid("node-0"), -1);
  EXPECT_TRUE(fleet_.Processes("node-0").empty());
}

TEST(LocalEngineStart, SaysWhatIsWrongWithTheProgramAndTheAddress) {
  LocalOptions options;
  options.state_folder = "/tmp/longrun-nowhere";
  options.control_address = "unix:/tmp/longrun-nowhere/control.sock";
  options.agent_command = {"/nowhere/longrun", "agent"};
  LocalEngine engine(options);
  const absl::Status started = engine.Start();
  EXPECT_NE(std::string(started.message()).find("/nowhere/longrun"), std::string::npos);
  const auto missing = BuildServer("unix:/nowhere/control.sock", {engine.service()});
  EXPECT_FALSE(missing.ok());
  const auto too_long = BuildServer("unix:/" + std::string(200, 'x'), {engine.service()});
  EXPECT_NE(std::string(too_long.status().message()).find("shorter"), std::string::npos);
}

}  // namespace
}  // namespace longrun::engine
