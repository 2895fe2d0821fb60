// One sequence as planning sees it. The engine's sequences are jobs; planning looks at nothing else
// of them and changes nothing in them.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

#include "base/time.h"

namespace longrun::serving {

struct Job {
  int32_t priority = 0;  // higher goes first
  int64_t request = 0;   // numbers by arrival
  int64_t choice = 0;
  int32_t tenant = 0;
  int64_t known = 0;         // tokens that it has, prompt and generated
  int64_t computed = 0;      // of them, whose keys and values are in its blocks
  int64_t draft = 0;         // tokens guessed beyond `known`, worth trying
  int64_t slots = 1;         // sequences that it is going to be: n before the fork
  bool stays = true;         // goes on after its prompt; else it ends with that
  bool all_logits = false;   // wants logits for every token (prompt logprobs)
  bool generating = false;   // the prompt was computed once: what is known beyond it was sampled
  bool awaits_mask = false;  // its next token cannot be chosen yet: no row of logits is wanted
  int64_t held = 0;          // while waiting: tokens whose keys and values are swapped out
  Time waiting_since;        // while waiting
  Duration waited;           // before that: it was admitted and preempted

  int64_t remaining() const { return known - computed; }
  // Places among those that run, once the prompt is read.
  int64_t places() const { return stays ? slots : 0; }
  // Every token but the newest is computed: the next step makes a token.
  bool decodes() const { return generating && computed > 0 && remaining() == 1; }
  // There is nothing to compute for it until its mask is there.
  bool sits_out() const { return awaits_mask && remaining() == 1; }
};

// Nothing goes before who has waited so long that patience is at its end, whatever the priorities.
inline constexpr int32_t kTopClaim = std::numeric_limits<int32_t>::max();
inline int32_t ClaimOf(int32_t priority, Duration waited, Duration patience) {
  return waited >= patience ? kTopClaim : priority;
}

// Whether `a` has the better claim: priority, then age.
inline bool Before(const Job& a, const Job& b) {
  if (a.priority != b.priority) return a.priority > b.priority;
  if (a.request != b.request) return a.request < b.request;
  return a.choice < b.choice;
}

}  // namespace longrun::serving
