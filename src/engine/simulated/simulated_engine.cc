#include "engine/simulated/simulated_engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace longrun::engine {

SimulatedEngine::SimulatedEngine(World* world)
    : world_(*world), generation_(world->NextGeneration()) {
  LR_CHECK(world_.engine() == nullptr);
  world_.SetEngine(this);
}

SimulatedEngine::~SimulatedEngine() {
  world_.SetEngine(nullptr);
  for (int node = 0; node < world_.node_count(); ++node) world_.agent(node).Disconnect();
}

std::vector<fleet::Event> SimulatedEngine::Observe(Duration patience) {
  const Time until = world_.now() + patience;
  while (inbox_.empty() && !woken_ && world_.timeline().Step(until)) {
  }
  woken_ = false;
  return std::exchange(inbox_, {});
}

void SimulatedEngine::Expect(const std::vector<fleet::Node>& nodes) {
  for (const fleet::Node& node : nodes) {
    Peer& peer = peers_[node.id];
    peer.session = std::max(peer.session, node.session);
    if (!node.up) {
      peer.over = std::max(peer.over, node.session);
    } else if (!peer.attached) {
      GiveUpLater(node.id);
    }
  }
}

bool SimulatedEngine::OnAttach(int node, uint64_t session, uint64_t first_seq) {
  const fleet::NodeId& id = world_.config().nodes[node].id;
  Peer& peer = peers_[id];
  if (session <= peer.over || session < peer.session) return false;
  // Its joining was acknowledged once, yet the journal does not expect it: it was given up since.
  if (session != peer.session && first_seq > 1) return false;
  peer.session = session;
  peer.attached = true;
  ++peer.epoch;
  peer.last.clear();
  return true;
}

void SimulatedEngine::OnFact(int node, const fleet::Event& fact) {
  Peer& peer = peers_[world_.config().nodes[node].id];
  if (fact.source.session <= peer.over) return;
  inbox_.push_back(fact);
  peer.last.push_back(fact);
  if (peer.last.size() > 3) peer.last.erase(peer.last.begin());
  if (world_.random().Chance(world_.config().network.fact_twice)) {
    inbox_.insert(inbox_.end(), peer.last.begin(), peer.last.end());
  }
}

void SimulatedEngine::OnDisconnect(int node) {
  const fleet::NodeId& id = world_.config().nodes[node].id;
  const auto it = peers_.find(id);
  if (it == peers_.end() || !it->second.attached) return;
  it->second.attached = false;
  GiveUpLater(id);
}

void SimulatedEngine::GiveUpLater(const fleet::NodeId& node) {
  const uint64_t epoch = ++peers_[node].epoch;
  world_.timeline().After(
      world_.config().lost_after, [world = &world_, generation = generation_, node, epoch] {
        SimulatedEngine* engine = world->engine();
        if (engine == nullptr || engine->generation_ != generation) return;
        Peer& peer = engine->peers_[node];
        if (peer.epoch != epoch) return;
        peer.over = peer.session;
        fleet::Event event;
        event.body = fleet::NodeLost{node, peer.session, "no word from its agent"};
        engine->inbox_.push_back(std::move(event));
      });
}

void SimulatedEngine::Acknowledge(const fleet::NodeId& node, uint64_t session, uint64_t seq) {
  const int index = world_.NodeIndex(node);
  if (index < 0) return;
  const uint64_t connection = world_.agent(index).connection();
  if (connection == 0) return;
  if (world_.random().Chance(world_.config().network.acknowledgement_lost)) return;
  world_.timeline().After(world_.Latency(), [world = &world_, index, connection, session, seq] {
    Agent& agent = world->agent(index);
    if (agent.connection() == connection) agent.OnAcknowledged(session, seq);
  });
}

void SimulatedEngine::Apply(const fleet::NodeDesired& desired) {
  const int index = world_.NodeIndex(desired.node);
  if (index < 0 || world_.CutFromControl(index)) return;
  const NetworkConfig& network = world_.config().network;
  Random& random = world_.random();
  if (random.Chance(network.wish_lost)) return;
  const auto deliver = [world = &world_, index, desired] {
    if (!world->CutFromControl(index)) world->agent(index).OnWish(desired);
  };
  world_.timeline().After(random.Chance(network.wish_late)
                              ? world_.Between(Duration::Millis(5), Duration::Seconds(1))
                              : world_.Latency(),
                          deliver);
  if (random.Chance(network.wish_twice)) {
    world_.timeline().After(world_.Between(Duration::Millis(1), Duration::Millis(500)), deliver);
  }
}

absl::Status SimulatedEngine::Inject(const Fault& fault) {
  if (fault.kind == Fault::Kind::kKillNode) {
    const int index = world_.NodeIndex(fault.node);
    if (index < 0) return absl::NotFoundError(absl::StrCat("there is no node ", fault.node.text));
    world_.KillNode(index, Duration::Seconds(5));
    return absl::OkStatus();
  }
  Process* process = world_.Find(fault.run, fault.member);
  if (process == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("member ", fault.member, " of ", fault.run.text, " does not run"));
  }
  if (fault.kind == Fault::Kind::kKillMember) {
    world_.End(*process, 0, 9);
  } else {
    world_.Hang(*process);
  }
  return absl::OkStatus();
}

}  // namespace longrun::engine
