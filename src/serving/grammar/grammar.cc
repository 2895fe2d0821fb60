#include "serving/grammar/grammar.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace longrun::serving {

namespace {

constexpr int kMostPasses = 8;  // over all states, to contract them

}  // namespace

StateId GrammarBuilder::NewState() {
  if (full()) return 0;  // Build refuses; until then whatever is added goes to one place
  states_.emplace_back();
  return static_cast<StateId>(states_.size()) - 1;
}

GrammarBuilder::Rule GrammarBuilder::NewRule() {
  const Rule rule{static_cast<RuleId>(starts_.size()), NewState(), NewState()};
  starts_.push_back(rule.start);
  At(rule.end).end = true;
  return rule;
}

void GrammarBuilder::Bytes(StateId from, uint8_t low, uint8_t high, StateId to) {
  if (full()) return;
  At(from).edges.push_back({Grammar::kBytes, to, low, high});
}

void GrammarBuilder::Empty(StateId from, StateId to) {
  if (full()) return;
  At(from).edges.push_back({Grammar::kEmpty, to});
}

void GrammarBuilder::Call(StateId from, RuleId rule, StateId to) {
  if (full()) return;
  At(from).edges.push_back({rule, to});
}

void GrammarBuilder::Literal(StateId from, std::string_view bytes, StateId to) {
  Empty(Literal(from, bytes), to);
}

StateId GrammarBuilder::Literal(StateId from, std::string_view bytes) {
  for (const char c : bytes) {
    const StateId next = NewState();
    Bytes(from, static_cast<uint8_t>(c), static_cast<uint8_t>(c), next);
    from = next;
  }
  return from;
}

void GrammarBuilder::SetFreeCharacters(StateId state, int32_t count) {
  At(state).free_characters = count;
}

// The least of the ways' most: a state's frames are settled in rising order, as in Dijkstra's
// shortest paths, so each edge is looked at once.
void GrammarBuilder::CountFrames() {
  std::vector<Draft>& states = states_;
  struct Back {
    StateId from;
    StateId target;
    RuleId rule;
  };
  std::vector<std::vector<Back>> into(states.size());        // by target
  std::vector<std::vector<Back>> calls(starts_.size());      // by rule
  std::vector<std::vector<RuleId>> rules_at(states.size());  // that start here
  std::vector<StateId> level;
  for (size_t s = 0; s < states.size(); ++s) {
    if (states[s].end) {
      states[s].frames = 0;
      level.push_back(static_cast<StateId>(s));
    }
    for (const Grammar::Edge& edge : states[s].edges) {
      const Back back{static_cast<StateId>(s), edge.target, edge.rule};
      into[static_cast<size_t>(edge.target)].push_back(back);
      if (edge.rule >= 0) calls[static_cast<size_t>(edge.rule)].push_back(back);
    }
  }
  for (size_t r = 0; r < starts_.size(); ++r) {
    rules_at[static_cast<size_t>(starts_[r])].push_back(static_cast<RuleId>(r));
  }
  const auto frames_of = [&](StateId s) { return states[static_cast<size_t>(s)].frames; };
  for (int32_t frames = 0; frames <= kDeepestFrames; ++frames) {
    // All states that `frames` suffice for, from those known so far.
    std::vector<StateId> called_next;
    while (!level.empty()) {
      const StateId settled = level.back();
      level.pop_back();
      const auto settle = [&](const Back& back) {
        auto& from = states[static_cast<size_t>(back.from)];
        if (from.frames != kNever || frames_of(back.target) > frames) return;
        if (back.rule >= 0) {
          const int32_t inner = frames_of(starts_[static_cast<size_t>(back.rule)]);
          if (inner >= frames) return;  // the call is a frame more than what it calls
        }
        from.frames = frames;
        level.push_back(back.from);
      };
      for (const Back& back : into[static_cast<size_t>(settled)]) settle(back);
      if (frames_of(settled) == frames && !rules_at[static_cast<size_t>(settled)].empty()) {
        called_next.push_back(settled);
      }
    }
    for (const StateId start : called_next) {
      for (const RuleId rule : rules_at[static_cast<size_t>(start)]) {
        for (const Back& back : calls[static_cast<size_t>(rule)]) {
          auto& from = states[static_cast<size_t>(back.from)];
          if (from.frames == kNever && frames_of(back.target) <= frames + 1) {
            from.frames = frames + 1;
            level.push_back(back.from);
          }
        }
      }
    }
  }
}

// Drops edges that lead to no end, and lets those that lead to a state with one empty edge alone
// lead to where that does; until there is none. A pattern such as ((){1000}){40} is nothing else.
void GrammarBuilder::Contract() {
  const auto is_dead = [this](const Grammar::Edge& edge) {
    return At(edge.target).frames == kNever ||
           (edge.rule >= 0 && At(starts_[static_cast<size_t>(edge.rule)]).frames == kNever);
  };
  const auto order = [](const Grammar::Edge& e) {
    return std::tuple(e.rule, e.target, e.low, e.high);
  };
  const auto leads_on = [this](StateId s) {
    const Draft& state = At(s);
    return !state.end && state.edges.size() == 1 && state.edges[0].rule == Grammar::kEmpty;
  };
  // Where a state that leads on leads to in the end; those on the way then lead there at once.
  // There is such an end: what only leads round and round is dead.
  const auto end_of = [&](StateId from) {
    StateId end = from;
    while (leads_on(end)) end = At(end).edges[0].target;
    while (leads_on(from)) from = std::exchange(At(from).edges[0].target, end);
    return end;
  };
  for (Draft& state : states_) std::erase_if(state.edges, is_dead);
  // Each way in turn, so that whatever waits for its neighbour does not take a pass of its own.
  bool changed = true;
  for (int pass = 0; changed && pass < kMostPasses; ++pass) {
    changed = false;
    for (size_t i = 0; i < states_.size(); ++i) {
      const size_t s = pass % 2 == 0 ? states_.size() - 1 - i : i;
      std::vector<Grammar::Edge>& edges = states_[s].edges;
      bool moved = false;
      for (Grammar::Edge& edge : edges) {
        const StateId end = end_of(edge.target);
        moved |= edge.target != end;
        edge.target = end;
      }
      const size_t count = edges.size();
      std::erase_if(edges, [s](const Grammar::Edge& edge) {
        return edge.rule == Grammar::kEmpty && edge.target == static_cast<StateId>(s);
      });
      if (!moved && edges.size() == count && pass > 0) continue;
      // Those that became equal: once, where the first of them was.
      std::set<decltype(order(edges[0]))> met;
      std::erase_if(edges, [&](const Grammar::Edge& e) { return !met.insert(order(e)).second; });
      changed |= moved || edges.size() != count;
    }
  }
  for (StateId& start : starts_) start = end_of(start);
}

// The states that the root comes to, with their edges side by side.
Grammar GrammarBuilder::Number(RuleId root) {
  constexpr StateId kNone = -1;
  std::vector<StateId> number(states_.size(), kNone), order;
  const auto meet = [&](StateId s) {
    if (number[static_cast<size_t>(s)] != kNone) return;
    number[static_cast<size_t>(s)] = static_cast<StateId>(order.size());
    order.push_back(s);
  };
  Grammar grammar;
  grammar.root = root;
  meet(starts_[static_cast<size_t>(root)]);
  for (size_t i = 0; i < order.size(); ++i) {
    for (const Grammar::Edge& edge : At(order[i]).edges) {
      meet(edge.target);
      if (edge.rule >= 0) meet(starts_[static_cast<size_t>(edge.rule)]);
    }
  }
  size_t edges = 0;
  for (const StateId s : order) edges += At(s).edges.size();
  grammar.states.reserve(order.size());
  grammar.edges.reserve(edges);
  for (const StateId s : order) {
    const Draft& draft = At(s);
    Grammar::State state{.free_characters = draft.free_characters, .frames = draft.frames};
    state.end = draft.end;
    state.first_edge = static_cast<uint32_t>(grammar.edges.size());
    for (Grammar::Edge edge : draft.edges) {
      edge.target = number[static_cast<size_t>(edge.target)];
      grammar.edges.push_back(edge);
    }
    state.end_edge = static_cast<uint32_t>(grammar.edges.size());
    grammar.states.push_back(state);
  }
  // A rule that nobody calls has no state.
  for (const StateId start : starts_) grammar.starts.push_back(number[static_cast<size_t>(start)]);
  return grammar;
}

absl::StatusOr<Grammar> GrammarBuilder::Build(RuleId root) && {
  if (full()) {
    return absl::InvalidArgumentError(
        "too large: its automaton would have more than 50000 states; bounds such as maxLength, "
        "maxItems and {n,m} in a pattern make it large");
  }
  CountFrames();
  const StateId start = starts_[static_cast<size_t>(root)];
  if (At(start).frames > kDeepestFrames) {
    return absl::InvalidArgumentError("no text, or none less than 64 values deep, can satisfy it");
  }
  Contract();
  return Number(root);
}

}  // namespace longrun::serving
