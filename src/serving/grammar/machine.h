// Runs a grammar over bytes: which places of the grammar a text may have led to, and which bytes
// and tokens may follow. A text that can be read in several ways is at several places at once;
// beyond 128 the rest are given up, which only makes what is allowed narrower. Which ones is a
// matter of the text alone; the one that lets the most characters follow freely is never among
// them, so that Mask may allow those unread.
//
// What it works out it remembers, so a machine is locked by whoever uses it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "serving/grammar/grammar.h"
#include "serving/grammar/token_tree.h"

namespace longrun::serving {

class Machine {
 public:
  // Where a text stands: an index into what this machine remembers.
  using Place = int32_t;
  static constexpr Place kNowhere = -1;
  // The same, for another machine of the same grammar.
  struct Stacks {
    std::vector<std::vector<StateId>> stacks;  // of states, outermost first
    bool may_end = false;
  };

  // Both outlive it.
  Machine(const Grammar& grammar, const TokenTree& tokens);

  Place start() const { return start_; }
  // kNowhere where the byte may not come.
  Place Step(Place place, uint8_t byte);
  bool MayEnd(Place place) const { return At(place).may_end; }
  bool MustEnd(Place place) const { return At(place).may_end && At(place).nodes.empty(); }

  // The bits of the tokens that may come at a place, worked out piece by piece. What comes out is a
  // matter of the text alone, not of the pieces. The work is bounded: where that does not suffice,
  // single bytes are looked at first and the last tokens are left out.
  struct Mask {
    std::vector<uint32_t> bits;
    bool done = false;
    // How far it is.
    std::vector<Place> path;   // where the bytes so far lead: [depth] before a node's byte
    bool all_plain = false;    // of the plain tokens those may come that are in `bits` already
    bool single_bytes = true;  // those are looked at
    uint32_t next = 0;         // node of the tree
    int64_t work = 0;

    int64_t bytes() const;
  };
  Mask Begin(Place place);
  // Goes on until it is done or took so much effort, or little more.
  void Continue(int64_t effort, Mask* mask);

  // What was looked at so far, whether it was remembered or not: this bounds a mask, some 2 million
  // at the most.
  int64_t work() const { return work_; }
  // How much of that was done indeed: some 20 ns each.
  int64_t effort() const { return effort_; }

  // What it remembers.
  int64_t bytes() const;
  Stacks Export(Place place) const;
  Place Import(const Stacks& stacks);
  std::vector<Stacks> Export(const Mask& mask) const;
  void Import(const std::vector<Stacks>& path, Mask* mask);

 private:
  using NodeId = int32_t;
  struct Node {  // the top of a stack
    StateId state;
    NodeId below;  // -1: none; the state there is where the rule's caller goes on
    int32_t depth;
    int32_t free;   // characters of a string that may come, whichever they are; -1: not in one
    uint64_t hash;  // of the states down to the bottom
  };
  struct Configuration {
    std::vector<NodeId> nodes;  // of states that bytes lead on from, in the order of Precedes
    bool may_end = false;
  };
  struct Stepped {
    Place place = kNowhere;
    int32_t work = 0;  // that it took to find: counted each time, so that a mask's bound depends on
                       // the text alone
  };
  struct Hash {
    size_t operator()(const std::vector<NodeId>& nodes) const;
  };

  const Configuration& At(Place place) const { return places_[static_cast<size_t>(place)]; }
  const Grammar::State& StateOf(NodeId node) const;
  std::span<const Grammar::Edge> EdgesOf(NodeId node) const {
    return grammar_.EdgesOf(StateOf(node));
  }
  NodeId Intern(StateId state, NodeId below);
  bool Precedes(NodeId a, NodeId b) const;
  void Reach(NodeId node, Configuration* configuration);
  Place Settle(Configuration configuration);
  Stepped Compute(Place place, uint8_t byte);
  void AllowPlain(Place place, Mask* mask);
  bool OnlyFree(const Configuration& configuration, NodeId free) const;
  std::span<const TokenNode> TreeOf(const Mask& mask) const;
  uint32_t Visit(const TokenNode& node, uint32_t index, Mask* mask);

  const Grammar& grammar_;
  const TokenTree& tokens_;
  std::vector<Node> nodes_;
  absl::flat_hash_map<uint64_t, NodeId> node_ids_;  // state << 32 | below
  std::vector<Configuration> places_;
  absl::flat_hash_map<std::vector<NodeId>, Place, Hash> place_ids_;  // may_end last
  absl::flat_hash_map<uint64_t, Stepped> steps_;                     // place << 8 | byte
  absl::flat_hash_map<Place, std::vector<uint32_t>> masks_;
  std::vector<uint32_t> reached_at_;  // by node: the last Reach round that met it
  uint32_t round_ = 0;
  int64_t listed_bytes_ = 0;  // of lists of nodes, in places_ and place_ids_
  int64_t work_ = 0;          // nodes looked at
  int64_t effort_ = 0;
  Place start_ = 0;
};

}  // namespace longrun::serving
