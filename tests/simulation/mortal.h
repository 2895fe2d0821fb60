// A journal and an engine that the controller's death can reach into: forwarding versions that
// throw ControllerDied at a chosen call, so that a controller dies in the middle of a turn, before
// or after what it wrote is durable, with some of its wishes sent. Whoever catches it throws the
// Control away.
#pragma once

#include <vector>

#include "control/memory_journal.h"
#include "engine/engine.h"

namespace longrun::simulation {

struct ControllerDied {};

class MortalJournal : public control::MemoryJournal {
 public:
  enum class When { kNever, kBeforeCommit, kAfterCommit } dies = When::kNever;

  absl::Status Commit() override {
    if (dies == When::kBeforeCommit) throw ControllerDied();
    const absl::Status status = control::MemoryJournal::Commit();
    if (dies == When::kAfterCommit) throw ControllerDied();
    return status;
  }
};

class MortalEngine : public engine::Engine {
 public:
  explicit MortalEngine(engine::Engine* engine) : engine_(*engine) {}
  int calls_left = -1;  // then the controller dies; negative: it does not

  std::vector<fleet::Event> Observe(Duration patience) override {
    return engine_.Observe(patience);
  }
  void Acknowledge(const fleet::NodeId& node, uint64_t session, uint64_t seq) override {
    Count();
    engine_.Acknowledge(node, session, seq);
  }
  void Apply(const fleet::NodeDesired& desired) override {
    Count();
    engine_.Apply(desired);
  }
  absl::Status Inject(const engine::Fault& fault) override { return engine_.Inject(fault); }
  void Expect(const std::vector<fleet::Node>& nodes) override { engine_.Expect(nodes); }
  void Wake() override { engine_.Wake(); }

 private:
  void Count() {
    if (calls_left == 0) throw ControllerDied();
    if (calls_left > 0) --calls_left;
  }
  engine::Engine& engine_;
};

}  // namespace longrun::simulation
