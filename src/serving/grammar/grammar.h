// A context-free grammar over bytes, as automata that call each other: what a schema is compiled
// to. Once built it never changes; any thread may read it.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace longrun::serving {

using StateId = int32_t;
using RuleId = int32_t;

// Frames that a text may nest at most; each value inside a value that a rule stands for is one.
inline constexpr int32_t kDeepestFrames = 64;
inline constexpr int32_t kNever = std::numeric_limits<int32_t>::max();

struct Grammar {
  static constexpr RuleId kBytes = -1;  // an edge over a byte in [low, high]
  static constexpr RuleId kEmpty = -2;  // an edge over nothing
  struct Edge {
    RuleId rule = kBytes;  // or over a text of that rule
    StateId target = 0;
    uint8_t low = 0;
    uint8_t high = 0;
  };
  struct State {
    uint32_t first_edge = 0, end_edge = 0;  // in `edges`
    // So many characters of a string may come here, whichever they are, and nothing but those or
    // the string's end; kNever: any number; -1: this is no such place.
    int32_t free_characters = -1;
    // Frames that any way from here to the rule's end needs; kNever: there is no way.
    int32_t frames = kNever;
    bool end = false;  // of its rule
  };
  std::vector<State> states;
  std::vector<Edge> edges;
  std::vector<StateId> starts;  // of each rule
  RuleId root = 0;

  std::span<const Edge> EdgesOf(const State& state) const {
    return std::span(edges).subspan(state.first_edge, state.end_edge - state.first_edge);
  }
  int64_t bytes() const {
    return static_cast<int64_t>(states.size() * sizeof(State) + edges.size() * sizeof(Edge) +
                                starts.size() * sizeof(StateId));
  }
};

// Builds a grammar edge by edge. Over `kMostStates` states it keeps none and says so at the end.
// What is built has neither states that lead nowhere nor such as merely lead on to one other.
class GrammarBuilder {
 public:
  static constexpr size_t kMostStates = 50'000;

  struct Rule {
    RuleId id;
    StateId start;
    StateId end;
  };
  Rule NewRule();
  StateId NewState();

  void Bytes(StateId from, uint8_t low, uint8_t high, StateId to);
  void Empty(StateId from, StateId to);
  void Call(StateId from, RuleId rule, StateId to);
  // Returns the state after it.
  StateId Literal(StateId from, std::string_view bytes);
  void Literal(StateId from, std::string_view bytes, StateId to);
  void SetFreeCharacters(StateId state, int32_t count);

  bool full() const { return states_.size() >= kMostStates; }
  // InvalidArgument where it is too large, or where no text of `root` ends.
  absl::StatusOr<Grammar> Build(RuleId root) &&;

 private:
  struct Draft {
    std::vector<Grammar::Edge> edges;
    bool end = false;
    int32_t free_characters = -1;
    int32_t frames = kNever;
  };
  Draft& At(StateId state) { return states_[static_cast<size_t>(state)]; }
  void CountFrames();
  void Contract();
  Grammar Number(RuleId root);

  std::vector<Draft> states_;
  std::vector<StateId> starts_;  // of each rule
};

}  // namespace longrun::serving
