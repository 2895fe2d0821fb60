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

// Masks: a step takes no more effort than it may (and drafts than they may); with cheap masks,
// nobody who runs is left without one.
void CheckMasks(const serving::EngineCore& core, const Scenario& scenario, int64_t effort,
                Violations* violations);

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

// Nobody is passed over for ever: whoever has waited max_wait_seconds and is his tenant's oldest of
// his priority sees nobody admitted of a higher one who has not waited as long. Up to kMostPasses
// times he may: while a prefix is computed that he can share.
class PatienceChecker {
 public:
  static constexpr int64_t kMostPasses = 8;
  PatienceChecker(double patience_seconds, Violations* violations)
      : patience_seconds_(patience_seconds), violations_(*violations) {}
  void Asked(const serving::GenerationRequest& request, Time at);
  void Took(const std::string& id) { Leave(id, true); }
  void Ended(const std::string& id) { Leave(id, false); }
  // `begin`: when the step was planned.
  void AfterStep(const serving::EngineCore& core, Time begin);
  int64_t most_passes() const { return most_passes_; }
  int64_t patient() const { return patient_; }  // who waited to the end of patience

 private:
  struct Waiting {
    std::string tenant;
    int32_t priority = 0;
    Time since;
    int64_t passes = 0;
    bool patient = false;
  };
  void Leave(const std::string& id, bool admitted);
  bool IsOldest(int64_t number) const;

  double patience_seconds_;
  Violations& violations_;
  std::map<int64_t, Waiting> waiting_;  // never admitted, in the order of their coming
  std::map<std::string, int64_t> number_of_;
  std::vector<Waiting> admitted_;  // in this step
  int64_t most_passes_ = 0, patient_ = 0, next_ = 0;
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
