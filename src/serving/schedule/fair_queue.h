// Who waits, and who is next: the highest priority; among equals, sequences that were preempted;
// then the tenant that was served least, its oldest request first.
//
// Fairness is that of virtual token counters (Sheng et al. 2024, "Fairness in Serving Large
// Language Models", algorithm 2): a tenant's counter grows by what it is served, prompt tokens when
// it is admitted and generated ones as they are made; a tenant that comes back after having nothing
// to wait for is lifted to the least counter of those that wait, so that idleness earns no credit.
// A tenant is chosen only while its counter is the least; so of tenants that wait all the time no
// counter is ahead of another's by more than
//   U = prompt weight * longest prompt + output weight * sequences at once * longest output,
// and over any span of time no tenant is served more than another by more than 2 U. (The paper's
// theorem 4.4 has the cache's tokens in the second term; here more may be admitted than fits to the
// end, and what does not fit is preempted.) The effort for masks is service as well, and adds a
// step's to U.
//
// Priorities would let the lowest wait for ever; so whoever has waited `patience` behind a higher
// one goes to the top, where tenants take turns as anywhere, and stays there: it is not preempted
// for a priority again.
//
// Pure but for its own state; called from the engine's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "serving/schedule/job.h"

namespace longrun::serving {

class FairQueue {
 public:
  // Weights of the paper: making a token costs more than reading one.
  static constexpr double kPromptWeight = 1, kOutputWeight = 2;
  // Of the effort for masks (mask_turns.h): 2 ms are a token's worth.
  static constexpr double kMaskWeight = kOutputWeight / 80'000;

  // A new request's sequence.
  void Arrive(Job* job);
  // A preempted sequence. Its tenant was served meanwhile: nothing is lifted.
  void Return(Job* job);
  // One that has gone (cancelled); false where it does not wait.
  bool Remove(Job* job);
  // Moves those up whose patience is at its end while something higher than they waits, or runs:
  // `running` is the highest priority that does.
  void Age(Time now, Duration patience, int32_t running);
  // Service that a tenant was given.
  void Charge(int32_t tenant, double amount) { counters_[tenant] += amount; }
  double counter(int32_t tenant) const;

  int64_t size() const { return size_; }

  // Those of one priority and tenant.
  struct Line {
    std::deque<Job*> jobs;  // oldest first; never empty
    int64_t tokens = 0;     // that are yet to be computed, hits not counted
    int64_t places = 0;     // that they are going to take
  };
  // Highest priority first.
  void ForEachLine(const std::function<void(const Line& line)>& visit) const;

  // Once through the queue in its order: Front is the next one, Skip leaves it waiting, Take
  // removes it. Charges between them count.
  void Begin();
  Job* Front();  // null at the end
  void Skip();
  void Take();

 private:
  struct Lane {  // of one priority
    std::map<int32_t, Line> by_tenant;
    std::map<int32_t, size_t> skipped;  // in the round under way
  };
  using Lanes = std::map<int32_t, Lane, std::greater<>>;
  struct Place {
    Lanes::iterator lane;
    int32_t tenant = -1;
  };
  void Insert(Job* job);
  bool Find(Place* place);
  void Forget(Lanes::iterator lane, int32_t tenant, size_t index);

  Lanes lanes_;  // by priority, none empty
  std::map<int32_t, double> counters_;
  std::map<int32_t, int64_t> waiting_;  // sequences of each tenant; none 0
  int32_t last_to_leave_ = -1;          // the tenant that was last to wait for nothing any more
  int64_t size_ = 0;
};

}  // namespace longrun::serving
