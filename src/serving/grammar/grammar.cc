#include "serving/grammar/grammar.h"

#include <algorithm>
#include <utility>

namespace longrun::serving {

StateId GrammarBuilder::NewState() {
  if (full()) return 0;  // Build refuses; until then whatever is added goes to one place
  grammar_.states.emplace_back();
  return static_cast<StateId>(grammar_.states.size()) - 1;
}

GrammarBuilder::Rule GrammarBuilder::NewRule() {
  const Rule rule{static_cast<RuleId>(grammar_.starts.size()), NewState(), NewState()};
  grammar_.starts.push_back(rule.start);
  grammar_.states[static_cast<size_t>(rule.end)].end = true;
  return rule;
}

void GrammarBuilder::Bytes(StateId from, uint8_t low, uint8_t high, StateId to) {
  if (full()) return;
  grammar_.states[static_cast<size_t>(from)].edges.push_back({Grammar::kBytes, to, low, high});
}

void GrammarBuilder::Empty(StateId from, StateId to) {
  if (full()) return;
  grammar_.states[static_cast<size_t>(from)].edges.push_back({Grammar::kEmpty, to});
}

void GrammarBuilder::Call(StateId from, RuleId rule, StateId to) {
  if (full()) return;
  grammar_.states[static_cast<size_t>(from)].edges.push_back({rule, to});
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
  grammar_.states[static_cast<size_t>(state)].free_characters = count;
}

// The least of the ways' most: a state's frames are settled in rising order, as in Dijkstra's
// shortest paths, so each edge is looked at once.
void GrammarBuilder::CountFrames() {
  std::vector<Grammar::State>& states = grammar_.states;
  struct Back {
    StateId from;
    StateId target;
    RuleId rule;
  };
  std::vector<std::vector<Back>> into(states.size());            // by target
  std::vector<std::vector<Back>> calls(grammar_.starts.size());  // by rule
  std::vector<std::vector<RuleId>> rules_at(states.size());      // that start here
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
  for (size_t r = 0; r < grammar_.starts.size(); ++r) {
    rules_at[static_cast<size_t>(grammar_.starts[r])].push_back(static_cast<RuleId>(r));
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
          const int32_t inner = frames_of(grammar_.starts[static_cast<size_t>(back.rule)]);
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

absl::StatusOr<Grammar> GrammarBuilder::Build(RuleId root) && {
  if (full()) {
    return absl::InvalidArgumentError(
        "too large: its automaton would have more than 100000 states; bounds such as maxLength, "
        "maxItems and {n,m} in a pattern make it large");
  }
  CountFrames();
  grammar_.root = root;
  const StateId start = grammar_.starts[static_cast<size_t>(root)];
  if (grammar_.states[static_cast<size_t>(start)].frames > kDeepestFrames) {
    return absl::InvalidArgumentError("no text, or none less than 64 values deep, can satisfy it");
  }
  return std::move(grammar_);
}

}  // namespace longrun::serving
