#include "serving/cache/block_pool.h"

#include <algorithm>

#include "base/check.h"

namespace longrun::serving {

using model::TokenId;

BlockPool::BlockPool(int64_t blocks, int64_t block_tokens, const CacheSecret& secret)
    : block_tokens_(block_tokens), hasher_(secret), blocks_(static_cast<size_t>(blocks)) {
  LR_CHECK_GT(blocks, 0);
  LR_CHECK_GT(block_tokens, 0);
  tokens_.resize(static_cast<size_t>(blocks * block_tokens));
  free_.reserve(static_cast<size_t>(blocks));
  for (int64_t b = blocks - 1; b >= 0; --b) free_.push_back(static_cast<BlockId>(b));
}

int32_t BlockPool::Tenant(std::string_view tenant) {
  const auto [at, added] =
      tenants_.try_emplace(std::string(tenant), static_cast<int32_t>(roots_.size()));
  if (added) roots_.push_back(hasher_.Root(tenant));
  return at->second;
}

void BlockPool::Name(BlockTable* table, std::span<const TokenId> tokens) const {
  const int64_t full = static_cast<int64_t>(tokens.size()) / block_tokens_;
  while (static_cast<int64_t>(table->keys.size()) < full) {
    const PrefixKey& before =
        table->keys.empty() ? roots_[static_cast<size_t>(table->tenant)] : table->keys.back();
    const int64_t index = static_cast<int64_t>(table->keys.size());
    table->keys.push_back(hasher_.Next(before, TokensOf(tokens, index)));
  }
}

bool BlockPool::Holds(BlockId block, int32_t tenant, BlockId parent,
                      std::span<const TokenId> tokens) const {
  const Block& b = blocks_[block];
  return b.tenant == tenant && b.parent == parent &&
         std::equal(tokens.begin(), tokens.end(), tokens_.begin() + block * block_tokens_);
}

// The published block of the table's key `index`, if it is what the key says; else -1.
BlockId BlockPool::Lookup(const BlockTable& table, int64_t index, BlockId parent,
                          std::span<const TokenId> tokens) const {
  const auto found = index_.find(table.keys[static_cast<size_t>(index)]);
  if (found == index_.end()) return -1;
  return Holds(found->second, table.tenant, parent, TokensOf(tokens, index)) ? found->second : -1;
}

BlockPool::Hit BlockPool::Find(const BlockTable& table, std::span<const TokenId> tokens,
                               int64_t limit) const {
  Hit hit;
  limit = std::min(limit, static_cast<int64_t>(table.keys.size()));
  BlockId parent = -1;
  while (hit.blocks < limit) {
    const BlockId block = Lookup(table, hit.blocks, parent, tokens);
    if (block < 0) break;
    if (blocks_[block].refs == 0) ++hit.cached;
    parent = block;
    ++hit.blocks;
  }
  hit.awaited = hit.blocks < limit && Promised(table.keys[static_cast<size_t>(hit.blocks)]);
  return hit;
}

int64_t BlockPool::Take(BlockTable* table, std::span<const TokenId> tokens, int64_t limit) {
  LR_CHECK(table->blocks.empty());
  limit = std::min(limit, static_cast<int64_t>(table->keys.size()));
  BlockId parent = -1;
  while (table->published < limit) {
    const BlockId block = Lookup(*table, table->published, parent, tokens);
    if (block < 0) break;
    Hold(block);
    table->blocks.push_back(block);
    ++table->published;
    parent = block;
  }
  return table->published;
}

void BlockPool::Promise(BlockTable* table) {
  LR_CHECK_EQ(table->promised, 0);
  table->promised = static_cast<int64_t>(table->keys.size());
  for (int64_t i = table->published; i < table->promised; ++i) {
    ++promises_[table->keys[static_cast<size_t>(i)]];
  }
}

void BlockPool::Withdraw(const PrefixKey& key) {
  const auto promise = promises_.find(key);
  LR_CHECK(promise != promises_.end());
  if (--promise->second == 0) promises_.erase(promise);
}

bool BlockPool::Reserve(BlockTable* table, int64_t from, int64_t to,
                        std::vector<BlockCopy>* copies) {
  const int64_t held = static_cast<int64_t>(table->blocks.size());
  const int64_t first = from / block_tokens_;
  const int64_t end = BlocksFor(to);
  LR_CHECK_GE(first, table->published);
  LR_CHECK_LE(first, held);
  int64_t need = std::max<int64_t>(0, end - held);
  for (int64_t i = first; i < std::min(held, end); ++i) {
    if (blocks_[table->blocks[static_cast<size_t>(i)]].refs > 1) ++need;
  }
  if (need > available()) return false;
  for (int64_t i = first; i < std::min(held, end); ++i) {
    BlockId& block = table->blocks[static_cast<size_t>(i)];
    if (blocks_[block].refs == 1) continue;
    const BlockId own = Allocate();
    if (i * block_tokens_ < from) copies->push_back({block, own});
    Drop(block);
    block = own;
  }
  while (static_cast<int64_t>(table->blocks.size()) < end) table->blocks.push_back(Allocate());
  return true;
}

void BlockPool::Publish(BlockTable* table, std::span<const TokenId> tokens, int64_t computed) {
  const int64_t full = computed / block_tokens_;
  if (table->published >= full) return;
  Name(table, tokens.first(static_cast<size_t>(computed)));
  while (table->published < full) {
    const int64_t i = table->published;
    const PrefixKey& key = table->keys[static_cast<size_t>(i)];
    BlockId& block = table->blocks[static_cast<size_t>(i)];
    const BlockId parent = i == 0 ? -1 : table->blocks[static_cast<size_t>(i - 1)];
    const auto [at, added] = index_.try_emplace(key, block);
    if (added) {
      Block& b = blocks_[block];
      b.published = true;
      b.tenant = table->tenant;
      b.parent = parent;
      b.key = key;
      if (parent >= 0) ++blocks_[parent].children;
      const auto part = TokensOf(tokens, i);
      std::copy(part.begin(), part.end(), tokens_.begin() + block * block_tokens_);
    } else if (Holds(at->second, table->tenant, parent, TokensOf(tokens, i))) {
      Hold(at->second);
      Drop(block);
      block = at->second;
    } else {
      return;  // another prefix bears this key: what follows stays the table's own
    }
    ++table->published;
    if (i < table->promised) Withdraw(key);
  }
}

void BlockPool::Truncate(BlockTable* table, int64_t tokens) {
  const int64_t keep = BlocksFor(tokens);
  LR_CHECK_GE(keep, table->published);
  while (static_cast<int64_t>(table->blocks.size()) > keep) {
    Drop(table->blocks.back());
    table->blocks.pop_back();
  }
}

void BlockPool::Release(BlockTable* table) {
  for (int64_t i = table->published; i < table->promised; ++i) {
    Withdraw(table->keys[static_cast<size_t>(i)]);
  }
  table->promised = 0;
  table->published = 0;
  Truncate(table, 0);
}

BlockTable BlockPool::Fork(const BlockTable& table) {
  BlockTable fork = table;
  fork.promised = 0;
  for (const BlockId block : fork.blocks) Hold(block);
  return fork;
}

void BlockPool::Hold(BlockId block) {
  if (blocks_[block].refs++ > 0) return;
  Unlink(block);
}

void BlockPool::Drop(BlockId block) {
  Block& b = blocks_[block];
  LR_CHECK_GT(b.refs, 0);
  if (--b.refs > 0) return;
  if (b.published) {
    Link(block);
  } else {
    free_.push_back(block);
  }
}

BlockId BlockPool::Allocate() {
  if (free_.empty()) Evict();
  const BlockId block = free_.back();
  free_.pop_back();
  LR_CHECK_EQ(blocks_[block].refs, 0);
  blocks_[block].refs = 1;
  return block;
}

void BlockPool::Evict() {
  const BlockId block = oldest_;
  LR_CHECK_GE(block, 0);
  Unlink(block);
  Block& b = blocks_[block];
  LR_CHECK_EQ(b.children, 0);  // a tail
  if (b.parent >= 0) --blocks_[b.parent].children;
  index_.erase(b.key);
  b = Block{};
  free_.push_back(block);
}

void BlockPool::Link(BlockId block) {
  Block& b = blocks_[block];
  b.older = newest_;
  b.newer = -1;
  (newest_ < 0 ? oldest_ : blocks_[newest_].newer) = block;
  newest_ = block;
  ++cached_;
}

void BlockPool::Unlink(BlockId block) {
  Block& b = blocks_[block];
  (b.older < 0 ? oldest_ : blocks_[b.older].newer) = b.newer;
  (b.newer < 0 ? newest_ : blocks_[b.newer].older) = b.older;
  b.older = b.newer = -1;
  --cached_;
}

}  // namespace longrun::serving
