// What must hold whatever happens, watched from outside the engine.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "serving/engine/engine_core.h"
#include "serving_simulation/reference.h"
#include "serving_simulation/scenario.h"

namespace longrun::serving_simulation {

using Violations = std::vector<std::string>;

// Blocks: each is used as often as tables hold it; free, used and cached are all; no block belongs
// to two tenants, whether held or to be found again.
void CheckBlocks(const serving::EngineCore& core, Violations* violations);

// Deltas: what a request was given so far is how running it alone begins, and, once it is done, all
// of it; the figures of its usage are right; nothing follows the last delta.
class DeltaChecker {
 public:
  DeltaChecker(const model::Tokenizer* tokenizer, Violations* violations)
      : tokenizer_(*tokenizer), violations_(*violations) {}
  void Asked(const serving::GenerationRequest& request);
  void Take(const std::string& id, const serving::Delta& delta);
  // Every request that was asked for has had its last delta.
  void CheckAllEnded();
  int64_t Tokens(const std::string& id) const { return given_.at(id).tokens; }
  bool Ended(const std::string& id) const { return given_.at(id).last; }
  uint64_t hash() const { return hash_; }

 private:
  struct Given {
    serving::GenerationRequest request;
    Result alone, so_far;
    int64_t tokens = 0, finished = 0;
    bool last = false;
  };
  void CheckChoice(const Given& given, const serving::Delta& delta);
  void Violate(const Given& given, const std::string& what);
  void Mix(uint64_t value) { hash_ = Mix64(hash_ ^ value); }

  const model::Tokenizer& tokenizer_;
  Violations& violations_;
  std::map<std::string, Given> given_;
  uint64_t hash_ = 0;
};

// Service of tenants that all wait from the start, by what the engine holds and delivers: no two
// differ by more than the U of serving/schedule/fair_queue.h.
class FairnessChecker {
 public:
  FairnessChecker(const Scenario& scenario, Violations* violations);
  void AfterStep(const serving::EngineCore& core);
  void Generated(const std::string& id, int64_t tokens);
  double largest_difference() const { return largest_; }
  double bound() const { return bound_; }

 private:
  void Admitted(const std::string& id);

  Violations& violations_;
  double bound_ = 0, largest_ = 0;
  std::map<std::string, const serving::GenerationRequest*> requests_;  // not admitted yet
  std::map<std::string, std::string> tenant_of_;
  std::map<std::string, double> service_;   // by tenant
  std::map<std::string, int64_t> waiting_;  // by tenant
};

}  // namespace longrun::serving_simulation
