#include <string>

#include "engine/contract.h"
#include "engine/local/local_fleet_for_tests.h"

namespace longrun::engine {
namespace {

// Real processes on this machine, real time.
class LocalWorld : public ContractWorld {
 public:
  LocalWorld() : fleet_(2, 4) { fleet_.StartController(); }

  Engine& engine() override { return *fleet_.engine; }
  std::vector<fleet::NodeId> nodes() override {
    return {fleet::NodeId("node-0"), fleet::NodeId("node-1")};
  }
  std::vector<std::string> CommandFor(const Behaviour& b) override {
    const std::string wait =
        b.delay.us > 0 ? "sleep " + std::to_string(b.delay.seconds()) + "; " : "";
    switch (b.kind) {
      case Behaviour::Kind::kExit:
        return fleet_.Shell(wait + "exit " + std::to_string(b.code));
      case Behaviour::Kind::kSignal:
        return fleet_.Shell(wait + "kill -" + std::to_string(b.signal) + " $$");
      case Behaviour::Kind::kSleep:
        return fleet_.Shell("exec sleep 1000");
      case Behaviour::Kind::kIgnoreStop:
        return fleet_.Shell("trap '' TERM; while :; do sleep 1; done");
      case Behaviour::Kind::kRank:
        return fleet_.Shell(wait + "exec " LONGRUN_RANK_FOR_TESTS " speak");
      case Behaviour::Kind::kMissing:
        return {"/nowhere/no-such-program"};
    }
    return {};
  }
  void Advance(Duration d) override {
    std::this_thread::sleep_for(std::chrono::microseconds(d.us));
  }
  Time Now() override { return clock_.Now(); }
  int Starts(const fleet::RunId& run, fleet::MemberId member) override {
    return fleet_.Starts(run.text, member);
  }
  int Processes(const fleet::NodeId& node) override {
    return static_cast<int>(fleet_.Processes(node.text).size());
  }
  void KillNode(const fleet::NodeId& node) override {
    LR_CHECK_EQ(::kill(fleet_.AgentPid(node.text), SIGKILL), 0);
  }
  void ReviveNode(const fleet::NodeId&) override {}  // the engine repairs it by itself
  void RestartController() override {
    fleet_.StopController();
    fleet_.StartController();
  }
  Duration Bound() override { return Duration::Seconds(20); }

 private:
  LocalFleet fleet_;
  WallClock clock_;
};

std::unique_ptr<ContractWorld> MakeLocalWorld() { return std::make_unique<LocalWorld>(); }

INSTANTIATE_TEST_SUITE_P(Local, EngineContract, testing::Values(&MakeLocalWorld));

}  // namespace
}  // namespace longrun::engine
