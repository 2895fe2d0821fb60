#include "engine/contract.h"
#include "engine/simulated/simulated_engine.h"

namespace longrun::engine {
namespace {

class SimulatedContractWorld : public ContractWorld {
 public:
  explicit SimulatedContractWorld(uint64_t seed)
      : world_(Config(seed)), engine_(std::make_unique<SimulatedEngine>(&world_)) {}

  Engine& engine() override { return *engine_; }
  std::vector<fleet::NodeId> nodes() override {
    std::vector<fleet::NodeId> ids;
    for (const NodeConfig& node : world_.config().nodes) ids.push_back(node.id);
    return ids;
  }
  std::vector<std::string> CommandFor(const Behaviour& behaviour) override {
    using Kind = Behaviour::Kind;
    if (behaviour.kind == Kind::kMissing) return {"missing"};
    Program program;
    program.speaks_protocol = behaviour.kind == Kind::kRank;
    program.joins_alone = behaviour.kind == Kind::kRank;
    program.start_up = behaviour.delay;
    program.ignores_stop = behaviour.kind == Kind::kIgnoreStop;
    program.steps = 1'000'000;
    program.step = Duration::Hours(1);
    program.ends_itself = behaviour.kind == Kind::kExit || behaviour.kind == Kind::kSignal;
    program.end_code = behaviour.code;
    program.end_signal = behaviour.signal;
    const std::string name = "program-" + std::to_string(world_.config().programs.size());
    world_.mutable_config().programs[name] = program;
    return {name};
  }
  void Advance(Duration d) override {
    const Time until = world_.now() + d;
    while (world_.timeline().Step(until)) {
    }
  }
  Time Now() override { return world_.now(); }
  int Starts(const fleet::RunId& run, fleet::MemberId member) override {
    return world_.Starts(run, member);
  }
  int Processes(const fleet::NodeId& node) override {
    return static_cast<int>(world_.Living(world_.NodeIndex(node)).size());
  }
  void KillNode(const fleet::NodeId& node) override {
    world_.KillNode(world_.NodeIndex(node), Duration::Hours(1000));
  }
  void ReviveNode(const fleet::NodeId& node) override {
    world_.agent(world_.NodeIndex(node)).Boot(Duration::Millis(500));
  }
  void RestartController() override {
    engine_.reset();
    Advance(Duration::Millis(200));
    engine_ = std::make_unique<SimulatedEngine>(&world_);
  }
  Duration Bound() override { return Duration::Seconds(30); }

 private:
  static WorldConfig Config(uint64_t seed) {
    WorldConfig config;
    config.seed = seed;
    config.nodes = {{.id = fleet::NodeId("node-1")}, {.id = fleet::NodeId("node-2")}};
    // The suite must hold on a bad network, too.
    config.network.wish_late = 0.1;
    config.network.wish_twice = 0.2;
    config.network.fact_twice = 0.2;
    config.network.stream_breaks = 0.02;
    return config;
  }

  World world_;
  std::unique_ptr<SimulatedEngine> engine_;
};

template <uint64_t kSeed>
std::unique_ptr<ContractWorld> MakeWorld() {
  return std::make_unique<SimulatedContractWorld>(kSeed);
}

INSTANTIATE_TEST_SUITE_P(Simulated, EngineContract,
                         testing::Values(&MakeWorld<1>, &MakeWorld<2>, &MakeWorld<3>, &MakeWorld<4>,
                                         &MakeWorld<5>, &MakeWorld<6>, &MakeWorld<7>,
                                         &MakeWorld<8>));

}  // namespace
}  // namespace longrun::engine
