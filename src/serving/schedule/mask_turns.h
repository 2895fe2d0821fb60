// How a step's effort for masks of constrained output (serving/grammar) is divided. What a mask
// takes is known only once it is made; so it is made in pieces, and whoever's is not ready sits the
// step out. Tenants get alike, and what one does not need goes to the others (max-min fairness); so
// a tenant whose masks are cheap never waits for one whose masks are dear. Of a tenant's rows
// whoever has waited longest gets half of what there is, the next half of the rest, and so on: the
// oldest goes forward in each step, and what is cheap is done behind what is not. Pure but for its
// own state.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace longrun::serving {

// Of one step.
class MaskTurns {
 public:
  // Less is not worth beginning with.
  static constexpr int64_t kLeastEffort = 2'000;

  explicit MaskTurns(int64_t effort) : left_(effort) {}

  // `tenants`: of the rows that want a mask, whoever has waited longest first. How much effort each
  // may take, together no more than is left: 0, or kLeastEffort at the least. Nothing where all get
  // 0; the first step's first row does not.
  std::vector<int64_t> Share(std::span<const int32_t> tenants) const;
  // What a row took of its share; what it did not is shared out by the next call.
  void Spend(int32_t tenant, int64_t effort) {
    left_ -= effort;
    spent_[tenant] += effort;
  }

 private:
  int64_t left_;
  absl::flat_hash_map<int32_t, int64_t> spent_;  // by tenant
};

}  // namespace longrun::serving
