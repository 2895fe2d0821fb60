// The blocks of the KV cache: who holds which, which hold a prefix that others may share, which
// may be given away. It knows block numbers and token ids, never the bytes.
//
// A block is one of
//   free    nobody holds it, its content means nothing;
//   used    at least one table holds it (`refs` of them);
//   cached  nobody holds it, but it holds a published prefix and can be found again.
// free + used + cached = blocks, always.
//
// Published blocks form one tree for each tenant: the path from the root spells the tokens. A hit
// is found by key and then verified: same tenant, same parent block, same tokens. So two prefixes
// that collide cannot be taken for each other, and no block is ever shared between tenants. Nobody
// writes to a published block, nor to one that two tables hold (Reserve copies it first).
//
// Whoever holds a block holds its ancestors, and a table is released from its tail; so in the order
// of last use a child always comes before its parent, and eviction takes the tails of prefixes
// before their heads.
//
// Owned by the engine's core and called from its thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "serving/cache/prefix_key.h"
#include "serving/execute/executor.h"

namespace longrun::serving {

// One sequence's blocks, in order: block i holds tokens [i * block_tokens, (i + 1) * block_tokens).
struct BlockTable {
  int32_t tenant = 0;           // BlockPool::Tenant
  std::vector<BlockId> blocks;  // each held once
  int64_t published = 0;        // of them, at the front, in the tenant's tree
  std::vector<PrefixKey> keys;  // of the full blocks of the tokens seen by Name
  int64_t promised = 0;         // keys [published, promised) are promised
};

class BlockPool {
 public:
  BlockPool(int64_t blocks, int64_t block_tokens, const CacheSecret& secret);

  int64_t block_tokens() const { return block_tokens_; }
  int64_t total() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t free() const { return static_cast<int64_t>(free_.size()); }
  int64_t cached() const { return cached_; }
  int64_t used() const { return total() - free() - cached(); }
  int64_t available() const { return free() + cached(); }
  int64_t BlocksFor(int64_t tokens) const { return (tokens + block_tokens_ - 1) / block_tokens_; }

  // The number of an authenticated tenant. They are as many as there are API keys, and are kept.
  int32_t Tenant(std::string_view tenant);

  // Names the full blocks of `tokens` [the table's whole sequence]; those named stay.
  void Name(BlockTable* table, std::span<const model::TokenId> tokens) const;

  struct Hit {
    int64_t blocks = 0;    // of the named ones, found in the cache
    int64_t cached = 0;    // of them, held by nobody: taking them lessens available()
    bool awaited = false;  // the next one is being computed by somebody of the same tenant
  };
  // What Take would find, of at most `limit` blocks.
  Hit Find(const BlockTable& table, std::span<const model::TokenId> tokens, int64_t limit) const;
  // Holds the blocks of the longest published prefix; the table is empty before. How many.
  int64_t Take(BlockTable* table, std::span<const model::TokenId> tokens, int64_t limit);

  // The blocks named and not yet published are going to be: who needs the same may wait for them.
  void Promise(BlockTable* table);
  bool Promised(const PrefixKey& key) const { return promises_.contains(key); }

  // Makes room for tokens [from, to), to be written by this table alone. New blocks are taken from
  // the free ones, then by evicting; a block that is shared and holds tokens before `from` is
  // copied (appended to `copies`). False, and nothing changed, where the blocks are not there.
  bool Reserve(BlockTable* table, int64_t from, int64_t to, std::vector<BlockCopy>* copies);

  // The first `computed` of `tokens` are in the table's blocks: its full blocks can be found from
  // now on. A block whose twin was published before is given back and the twin held instead.
  void Publish(BlockTable* table, std::span<const model::TokenId> tokens, int64_t computed);

  // Gives back the blocks that hold no token of the first `tokens`.
  void Truncate(BlockTable* table, int64_t tokens);
  void Release(BlockTable* table);
  // Another table that holds the same blocks.
  BlockTable Fork(const BlockTable& table);

  // For checkers and tests.
  int64_t refs(BlockId block) const { return blocks_[block].refs; }
  bool published(BlockId block) const { return blocks_[block].published; }
  int32_t tenant(BlockId block) const { return blocks_[block].tenant; }

 private:
  struct Block {
    int32_t refs = 0;
    bool published = false;
    int32_t tenant = -1;   // of a published block, as what follows
    int32_t children = 0;  // published blocks whose parent this is
    BlockId parent = -1;   // -1: the first of a sequence
    PrefixKey key;
    BlockId older = -1, newer = -1;  // among the cached, by last use
  };

  bool Holds(BlockId block, int32_t tenant, BlockId parent,
             std::span<const model::TokenId> tokens) const;
  BlockId Lookup(const BlockTable& table, int64_t index, BlockId parent,
                 std::span<const model::TokenId> tokens) const;
  void Hold(BlockId block);
  void Drop(BlockId block);
  BlockId Allocate();
  void Evict();
  void Link(BlockId block);
  void Unlink(BlockId block);
  void Withdraw(const PrefixKey& key);
  std::span<const model::TokenId> TokensOf(std::span<const model::TokenId> tokens,
                                           int64_t index) const {
    return tokens.subspan(static_cast<size_t>(index * block_tokens_),
                          static_cast<size_t>(block_tokens_));
  }

  int64_t block_tokens_;
  PrefixHasher hasher_;
  std::vector<Block> blocks_;
  std::vector<model::TokenId> tokens_;  // [blocks, block_tokens]: of published blocks
  std::vector<BlockId> free_;
  int64_t cached_ = 0;
  BlockId oldest_ = -1, newest_ = -1;
  absl::flat_hash_map<PrefixKey, BlockId, PrefixKeyHash> index_;
  absl::flat_hash_map<PrefixKey, int64_t, PrefixKeyHash> promises_;  // how many promise it
  absl::flat_hash_map<std::string, int32_t> tenants_;
  std::vector<PrefixKey> roots_;  // by tenant
};

}  // namespace longrun::serving
