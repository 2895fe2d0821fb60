#include "serving/grammar/machine.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/random.h"

namespace longrun::serving {
namespace {

constexpr size_t kMostReadings = 128;
constexpr size_t kMostMasks = 64;
// Of one mask: stacks stepped, and what they come to without a byte.
constexpr int64_t kMostWork = 1'000'000;

template <class T>
int64_t BytesOf(const std::vector<T>& list) {
  return static_cast<int64_t>(list.capacity() * sizeof(T));
}

template <class Map>
int64_t BytesOf(const Map& map) {
  return static_cast<int64_t>(map.capacity() * (sizeof(typename Map::value_type) + 1));
}

}  // namespace

size_t Machine::Hash::operator()(const std::vector<NodeId>& nodes) const {
  return XXH3_64bits(nodes.data(), nodes.size() * sizeof(NodeId));
}

Machine::Machine(const Grammar& grammar, const TokenTree& tokens)
    : grammar_(grammar), tokens_(tokens) {
  ++round_;
  Configuration configuration;
  Reach(Intern(grammar.starts[static_cast<size_t>(grammar.root)], -1), &configuration);
  start_ = Settle(std::move(configuration));
  LR_CHECK_NE(start_, kNowhere);  // GrammarBuilder::Build sees to it
}

const Grammar::State& Machine::StateOf(NodeId node) const {
  return grammar_.states[static_cast<size_t>(nodes_[static_cast<size_t>(node)].state)];
}

Machine::NodeId Machine::Intern(StateId state, NodeId below) {
  const uint64_t key = static_cast<uint64_t>(state) << 32 | static_cast<uint32_t>(below);
  const auto [it, is_new] = node_ids_.try_emplace(key, static_cast<NodeId>(nodes_.size()));
  if (is_new) {
    Node node{state, below, 0, grammar_.states[static_cast<size_t>(state)].free_characters, 0};
    if (below >= 0) {  // or in the midst of a character, after which the string goes on
      const Node& caller = nodes_[static_cast<size_t>(below)];
      node.depth = caller.depth + 1;
      node.free =
          std::max(node.free, grammar_.states[static_cast<size_t>(caller.state)].free_characters);
      node.hash = caller.hash;
    }
    node.hash = Mix64(node.hash * 31 + static_cast<uint64_t>(state) + 1);
    nodes_.push_back(node);
    reached_at_.push_back(0);
  }
  return it->second;
}

// Numbers of nodes depend on what the machine was asked before; this order does not.
bool Machine::Precedes(NodeId a, NodeId b) const {
  const Node& left = nodes_[static_cast<size_t>(a)];
  const Node& right = nodes_[static_cast<size_t>(b)];
  if (left.free != right.free) return left.free > right.free;
  return left.hash != right.hash ? left.hash < right.hash : a < b;
}

// Adds to the configuration all that the node comes to without a byte. Only where the text can
// still be brought to an end within the frames that there are.
void Machine::Reach(NodeId first, Configuration* configuration) {
  std::vector<NodeId> todo = {first};
  while (!todo.empty() && configuration->nodes.size() < kMostReadings) {
    const NodeId node = todo.back();
    todo.pop_back();
    ++work_;
    if (reached_at_[static_cast<size_t>(node)] == round_) continue;
    reached_at_[static_cast<size_t>(node)] = round_;
    const NodeId below = nodes_[static_cast<size_t>(node)].below;
    const int32_t depth = nodes_[static_cast<size_t>(node)].depth;
    const Grammar::State& state = StateOf(node);
    if (state.frames > kDeepestFrames - depth) continue;
    if (state.end && below < 0) configuration->may_end = true;
    if (state.end && below >= 0) todo.push_back(below);
    bool has_bytes = false;
    const auto edges = grammar_.EdgesOf(state);
    for (auto edge = edges.rbegin(); edge != edges.rend(); ++edge) {
      if (edge->rule == Grammar::kBytes) {
        has_bytes = true;
      } else if (edge->rule == Grammar::kEmpty) {
        todo.push_back(Intern(edge->target, below));
      } else if (grammar_.states[static_cast<size_t>(edge->target)].frames <=
                 kDeepestFrames - depth) {
        const NodeId caller = Intern(edge->target, below);
        todo.push_back(Intern(grammar_.starts[static_cast<size_t>(edge->rule)], caller));
      }
    }
    if (has_bytes) configuration->nodes.push_back(node);
  }
}

Machine::Place Machine::Settle(Configuration configuration) {
  if (configuration.nodes.empty() && !configuration.may_end) return kNowhere;
  std::sort(configuration.nodes.begin(), configuration.nodes.end(),
            [this](NodeId a, NodeId b) { return Precedes(a, b); });
  std::vector<NodeId> key = configuration.nodes;
  key.push_back(configuration.may_end ? -1 : -2);
  const auto [it, is_new] =
      place_ids_.try_emplace(std::move(key), static_cast<Place>(places_.size()));
  if (is_new) {
    listed_bytes_ += BytesOf(it->first) + BytesOf(configuration.nodes);
    places_.push_back(std::move(configuration));
  }
  return it->second;
}

Machine::Stepped Machine::Compute(Place place, uint8_t byte) {
  const int64_t before = work_;
  std::vector<NodeId> targets;
  for (const NodeId node : At(place).nodes) {
    const NodeId below = nodes_[static_cast<size_t>(node)].below;
    for (const Grammar::Edge& edge : EdgesOf(node)) {
      if (edge.rule == Grammar::kBytes && edge.low <= byte && byte <= edge.high) {
        targets.push_back(Intern(edge.target, below));
      }
    }
  }
  std::sort(targets.begin(), targets.end(), [this](NodeId a, NodeId b) { return Precedes(a, b); });
  ++round_;
  Configuration next;
  for (const NodeId target : targets) Reach(target, &next);
  const Place settled = Settle(std::move(next));
  return {settled, static_cast<int32_t>(work_ - before)};
}

Machine::Place Machine::Step(Place place, uint8_t byte) {
  const uint64_t key = static_cast<uint64_t>(place) << 8 | byte;
  const auto it = steps_.find(key);
  if (it != steps_.end()) {
    work_ += it->second.work;
    return it->second.place;
  }
  const Stepped next = Compute(place, byte);
  steps_.emplace(key, next);
  return next.place;
}

// Whether nothing but the free characters of `free`'s state, or that string's end, may come.
bool Machine::OnlyFree(const Configuration& configuration, NodeId free) const {
  const Node& string = nodes_[static_cast<size_t>(free)];
  for (const NodeId id : configuration.nodes) {
    if (id == free) continue;
    const Node& node = nodes_[static_cast<size_t>(id)];
    if (node.below < 0) return false;
    const Node& caller = nodes_[static_cast<size_t>(node.below)];
    const auto edges = EdgesOf(free);
    const bool is_its_call =
        caller.below == string.below &&
        std::any_of(edges.begin(), edges.end(), [&](const Grammar::Edge& edge) {
          return edge.rule >= 0 && edge.target == caller.state &&
                 grammar_.starts[static_cast<size_t>(edge.rule)] == node.state;
        });
    if (!is_its_call) return false;
  }
  return true;
}

// In a string most tokens may come, whatever they are: no need to look at each of their bytes.
// `all_plain`: what was not allowed of the plain tokens may not come.
void Machine::AllowPlain(Place place, std::vector<uint32_t>* mask, bool* all_plain) {
  *all_plain = false;
  for (const NodeId node : At(place).nodes) {
    const int32_t free = StateOf(node).free_characters;
    if (free <= 0 || nodes_[static_cast<size_t>(node)].depth >= kDeepestFrames) continue;
    if (free == kNever) {
      std::copy(tokens_.plain_mask().begin(), tokens_.plain_mask().end(), mask->begin());
      *all_plain = true;
      return;
    }
    const size_t count = tokens_.PlainUpTo(free);
    for (const model::TokenId token : tokens_.plain().first(count)) {
      (*mask)[static_cast<size_t>(token) / 32] |= 1u << (token % 32);
    }
    *all_plain = OnlyFree(At(place), node);
  }
}

void Machine::Walk(Place place, std::span<const TokenNode> tree, std::vector<uint32_t>* mask) {
  const int64_t begin = work_;
  // Where the bytes so far lead: [depth] before a node's byte.
  std::vector<Place> places(1, place);
  const auto visit = [&](size_t i) {
    const TokenNode& node = tree[i];
    const Place from = places[node.depth];
    work_ += static_cast<int64_t>(At(from).nodes.size());
    const Place next = Step(from, node.byte);
    if (next == kNowhere) return node.end;
    if (node.token >= 0) {
      (*mask)[static_cast<size_t>(node.token) / 32] |= 1u << (node.token % 32);
    }
    places.resize(std::max<size_t>(places.size(), node.depth + 2u));
    places[node.depth + 1u] = next;
    return static_cast<uint32_t>(i) + 1;
  };
  // Single bytes first.
  for (uint32_t i = 0; i < tree.size() && work_ - begin < 2 * kMostWork; i = tree[i].end) visit(i);
  for (uint32_t i = 0; i < tree.size() && work_ - begin < kMostWork;) i = visit(i);
}

const std::vector<uint32_t>& Machine::Mask(Place place) {
  const auto it = masks_.find(place);
  if (it != masks_.end()) return it->second;
  if (masks_.size() >= kMostMasks) masks_.clear();
  std::vector<uint32_t> mask(tokens_.plain_mask().size(), 0);
  bool all_plain = false;
  AllowPlain(place, &mask, &all_plain);
  Walk(place, all_plain ? tokens_.others() : tokens_.all(), &mask);
  return masks_.emplace(place, std::move(mask)).first->second;
}

int64_t Machine::bytes() const {
  const auto masks = static_cast<int64_t>(masks_.size() * tokens_.plain_mask().size_bytes());
  return BytesOf(nodes_) + BytesOf(reached_at_) + BytesOf(node_ids_) + BytesOf(places_) +
         BytesOf(place_ids_) + BytesOf(steps_) + BytesOf(masks_) + listed_bytes_ + masks;
}

Machine::Stacks Machine::Export(Place place) const {
  Stacks stacks;
  const auto stack_of = [&](NodeId top) {
    std::vector<StateId> stack;
    for (NodeId node = top; node >= 0; node = nodes_[static_cast<size_t>(node)].below) {
      stack.push_back(nodes_[static_cast<size_t>(node)].state);
    }
    std::reverse(stack.begin(), stack.end());
    return stack;
  };
  for (const NodeId node : At(place).nodes) stacks.stacks.push_back(stack_of(node));
  stacks.may_end = At(place).may_end;
  return stacks;
}

Machine::Place Machine::Import(const Stacks& stacks) {
  Configuration configuration{.nodes = {}, .may_end = stacks.may_end};
  for (const std::vector<StateId>& stack : stacks.stacks) {
    NodeId node = -1;
    for (const StateId state : stack) node = Intern(state, node);
    configuration.nodes.push_back(node);
  }
  return Settle(std::move(configuration));
}

}  // namespace longrun::serving
