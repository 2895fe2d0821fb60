// An engine whose world is simulated: the end that a controller holds. The world outlives it; a new
// controller makes a new one, and the agents find it.
#pragma once

#include <map>
#include <vector>

#include "engine/engine.h"
#include "engine/simulated/world.h"

namespace longrun::engine {

class SimulatedEngine : public Engine {
 public:
  // `world` must outlive it, and has no other engine.
  explicit SimulatedEngine(World* world);
  // The controller is gone.
  ~SimulatedEngine() override;

  // The world goes on meanwhile: this is what moves virtual time.
  std::vector<fleet::Event> Observe(Duration patience) override;
  void Acknowledge(const fleet::NodeId& node, uint64_t session, uint64_t seq) override;
  void Apply(const fleet::NodeDesired& desired) override;
  absl::Status Inject(const Fault& fault) override;
  void Expect(const std::vector<fleet::Node>& nodes) override;
  void Wake() override { woken_ = true; }

  // From the agents. `first_seq`: the oldest fact not yet acknowledged.
  bool OnAttach(int node, uint64_t session, uint64_t first_seq);
  void OnFact(int node, const fleet::Event& fact);
  void OnDisconnect(int node);

 private:
  struct Peer {
    uint64_t session = 0;  // newest known
    uint64_t over = 0;     // sessions up to this one are given up
    bool attached = false;
    uint64_t epoch = 0;              // counts attachments and losses of them
    std::vector<fleet::Event> last;  // the newest facts, for repeating them
  };
  void GiveUpLater(const fleet::NodeId& node);

  World& world_;
  const uint64_t generation_;
  bool woken_ = false;
  std::vector<fleet::Event> inbox_;
  std::map<fleet::NodeId, Peer> peers_;
};

}  // namespace longrun::engine
