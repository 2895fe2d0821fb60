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
// As long as one look: so many edges of a node, tokens allowed unread.
constexpr int64_t kEdgesOfEffort = 8, kTokensOfEffort = 16;
constexpr int64_t kMostEffort = int64_t{1} << 40;

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
  effort_ = work_;
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
  size_t edges = 0;
  std::vector<NodeId> targets;
  for (const NodeId node : At(place).nodes) {
    const NodeId below = nodes_[static_cast<size_t>(node)].below;
    edges += EdgesOf(node).size();
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
  effort_ += work_ - before + static_cast<int64_t>(edges) / kEdgesOfEffort;
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
void Machine::AllowPlain(Place place, Mask* mask) {
  for (const NodeId node : At(place).nodes) {
    const int32_t free = StateOf(node).free_characters;
    if (free <= 0 || nodes_[static_cast<size_t>(node)].depth >= kDeepestFrames) continue;
    if (free == kNever) {
      std::copy(tokens_.plain_mask().begin(), tokens_.plain_mask().end(), mask->bits.begin());
      mask->all_plain = true;
      return;
    }
    const size_t count = tokens_.PlainUpTo(free);
    for (const model::TokenId token : tokens_.plain().first(count)) {
      mask->bits[static_cast<size_t>(token) / 32] |= 1u << (token % 32);
    }
    effort_ += static_cast<int64_t>(count) / kTokensOfEffort;
    mask->all_plain = OnlyFree(At(place), node);
  }
}

std::span<const TokenNode> Machine::TreeOf(const Mask& mask) const {
  return mask.all_plain ? tokens_.others() : tokens_.all();
}

Machine::Mask Machine::Begin(Place place) {
  Mask mask;
  const auto known = masks_.find(place);
  if (known != masks_.end()) {
    mask.bits = known->second;
    mask.done = true;
    return mask;
  }
  mask.bits.resize(tokens_.plain_mask().size());
  mask.path.push_back(place);
  AllowPlain(place, &mask);
  return mask;
}

// The node to go on with.
uint32_t Machine::Visit(const TokenNode& node, uint32_t index, Mask* mask) {
  const Place from = mask->path[node.depth];
  const auto readings = static_cast<int64_t>(At(from).nodes.size());
  const int64_t before = work_;
  work_ += readings;
  ++effort_;
  const Place next = Step(from, node.byte);
  mask->work += work_ - before;
  if (next == kNowhere) return node.end;
  if (node.token >= 0) {
    mask->bits[static_cast<size_t>(node.token) / 32] |= 1u << (node.token % 32);
  }
  mask->path.resize(node.depth + 1u);
  mask->path.push_back(next);
  return index + 1;
}

void Machine::Continue(int64_t effort, Mask* mask) {
  if (mask->done) return;
  const auto tree = TreeOf(*mask);
  const int64_t end = effort_ + std::min(effort, kMostEffort);
  uint32_t& next = mask->next;
  if (mask->single_bytes) {
    for (; next < tree.size() && mask->work < 2 * kMostWork; next = tree[next].end) {
      if (effort_ >= end) return;
      Visit(tree[next], next, mask);
    }
    mask->single_bytes = false;
    next = 0;
  }
  while (next < tree.size() && mask->work < kMostWork) {
    if (effort_ >= end) return;
    next = Visit(tree[next], next, mask);
  }
  mask->done = true;
  const Place place = mask->path.front();
  mask->path = {};
  if (masks_.size() >= kMostMasks) masks_.clear();
  masks_.emplace(place, mask->bits);
}

int64_t Machine::Mask::bytes() const { return BytesOf(bits) + BytesOf(path); }

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
    effort_ += static_cast<int64_t>(stack.size());
    configuration.nodes.push_back(node);
  }
  return Settle(std::move(configuration));
}

std::vector<Machine::Stacks> Machine::Export(const Mask& mask) const {
  std::vector<Stacks> path;
  for (const Place place : mask.path) path.push_back(Export(place));
  return path;
}

void Machine::Import(const std::vector<Stacks>& path, Mask* mask) {
  for (size_t i = 0; i < path.size(); ++i) mask->path[i] = Import(path[i]);
}

}  // namespace longrun::serving
