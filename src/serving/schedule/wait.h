// How long somebody who came now would wait for the first token, from measured rates; who may wait
// at all; and what a preemption should cost. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace longrun::serving {

// Requests of one tenant at one priority.
struct Waiting {
  int32_t priority = 0;
  std::string tenant;
  int64_t requests = 0;
  int64_t tokens = 0;  // of their prompts, whatever the cache holds of them
  int64_t places = 0;  // sequences that they go on as after their prompts
};

struct Backlog {
  // By falling priority; one for each tenant in it, and beyond kMostLines the rest with the last.
  static constexpr size_t kMostLines = 256;
  std::vector<Waiting> waiting;
  int64_t running_tokens = 0;  // of prompts under way, to be computed
  int64_t free_slots = 0;      // sequences that could start at once,
  int64_t free_blocks = 0;     // where there is room for them
  int64_t block_tokens = 1;
  // Measured while there was more to do than was done; 0: not yet.
  double prompt_tokens_per_second = 0;  // computed or found in the cache
  double sequences_per_second = 0;      // that end and give back their places

  void Add(const Waiting& more);
  int64_t requests() const;
};

// Of those that wait, what goes before `newcomer`: whoever has a higher priority; of its own, as
// much of each tenant's as its own tenant has with it, since tenants take turns.
Waiting AheadOf(const Waiting& newcomer, const Backlog& backlog);

// The longer of two: until the prompts ahead are read, and until as many sequences have ended as
// go on beyond the free places. 0 where nothing was measured: nobody is refused on a guess.
double PredictedWaitSeconds(const Waiting& newcomer, const Backlog& backlog);

// Whether the memory of those that wait has a place for it: fewer than `most` go before it, its
// tenant has fewer than `most`, and all have fewer than twice as many. So no tenant fills what
// there is.
bool MayWait(const Waiting& newcomer, const Backlog& backlog, int64_t most);

// Means over the recent past: each second of work forgets a part, so that a rate is that of the
// last `memory_seconds` or so.
class Rate {
 public:
  explicit Rate(double memory_seconds = 20) : memory_seconds_(memory_seconds) {}
  // So much was done in so many seconds in which there was work.
  void Add(double amount, double seconds);
  double per_second() const { return seconds_ > 0 ? amount_ / seconds_ : 0; }

 private:
  double memory_seconds_;
  double amount_ = 0, seconds_ = 0;
};

// Whether a preempted sequence's blocks are better moved to the host and back than computed again:
// both ways' bytes at the measured rate against the tokens at the measured cost. False where either
// is unknown.
bool SwapIsCheaper(double bytes, double bytes_per_second, double tokens, double seconds_per_token);

}  // namespace longrun::serving
