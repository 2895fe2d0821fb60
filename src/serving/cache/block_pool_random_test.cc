// 100,000 random arrivals, steps, forks, cancels, failures and evictions on a small pool, against
// accounts kept from outside: what each table holds, and what was last written to each slot of each
// block (the tenant and the whole text up to there, as a hash).
#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "gtest/gtest.h"
#include "serving/cache/block_pool.h"

namespace longrun::serving {
namespace {

using model::TokenId;
constexpr int64_t kBlocks = 40, kBlockTokens = 4;

struct Sequence {
  std::string tenant;
  std::vector<TokenId> tokens;
  int64_t computed = 0;
  BlockTable table;
};

uint64_t TextHash(const Sequence& s, int64_t tokens) {
  uint64_t hash = Mix64(s.tenant[0]);
  for (int64_t i = 0; i < tokens; ++i) {
    hash = Mix64(hash ^ static_cast<uint64_t>(s.tokens[static_cast<size_t>(i)] + 1));
  }
  return hash;
}

class RandomPool {
 public:
  explicit RandomPool(uint64_t seed) : random_(seed) {}

  void Act() {
    const uint64_t what = random_.Below(100);
    if (what < 20 && sequences_.size() < 12) {
      Arrive();
    } else if (sequences_.empty()) {
      return;
    } else if (what < 70) {
      Advance(Any(), /*fails=*/random_.Chance(0.05));
    } else if (what < 82 && sequences_.size() < 12) {
      Fork(sequences_[Any()]);
    } else if (what < 88) {
      Preempt(sequences_[Any()]);
    } else {
      End(Any());
    }
  }

  void EndAll() {
    while (!sequences_.empty()) End(0);
  }

  void Check() {
    std::map<BlockId, int64_t> uses;
    std::map<BlockId, std::string> owner;
    for (const Sequence& s : sequences_) {
      ASSERT_GE(static_cast<int64_t>(s.table.blocks.size()) * kBlockTokens, s.computed);
      for (const BlockId block : s.table.blocks) {
        ++uses[block];
        const auto [at, first] = owner.try_emplace(block, s.tenant);
        ASSERT_TRUE(first || at->second == s.tenant) << "two tenants hold block " << block;
      }
      for (int64_t i = 0; i < s.computed; ++i) {
        const BlockId block = s.table.blocks[static_cast<size_t>(i / kBlockTokens)];
        ASSERT_EQ(content_[Slot(block, i)], TextHash(s, i + 1)) << "another's text";
      }
    }
    int64_t used = 0, cached = 0;
    for (BlockId b = 0; b < kBlocks; ++b) {
      ASSERT_EQ(pool_.refs(b), uses.contains(b) ? uses[b] : 0);
      if (pool_.refs(b) > 0) {
        ++used;
      } else if (pool_.published(b)) {
        ++cached;
      }
    }
    ASSERT_EQ(pool_.used(), used);
    ASSERT_EQ(pool_.cached(), cached);
    ASSERT_EQ(pool_.free() + used + cached, kBlocks);
  }

  const BlockPool& pool() const { return pool_; }
  int64_t hits() const { return hits_; }
  int64_t refused() const { return refused_; }
  int64_t copies() const { return copied_; }

 private:
  size_t Any() { return random_.Below(sequences_.size()); }
  static size_t Slot(BlockId block, int64_t position) {
    return static_cast<size_t>(block * kBlockTokens + position % kBlockTokens);
  }

  void Arrive() {
    Sequence s;
    s.tenant = std::string(1, static_cast<char>('a' + random_.Below(3)));
    // Few different texts, so that many begin alike.
    const int64_t length = random_.Between(1, 30);
    const uint64_t text = random_.Below(3);
    const int64_t differs = random_.Between(0, 40);
    for (int64_t i = 0; i < length; ++i) {
      s.tokens.push_back(static_cast<TokenId>(i < differs ? text : random_.Below(50)));
    }
    s.table.tenant = pool_.Tenant(s.tenant);
    Begin(s);
    sequences_.push_back(std::move(s));
  }

  void Begin(Sequence& s) {
    pool_.Name(&s.table, s.tokens);
    const int64_t limit = (static_cast<int64_t>(s.tokens.size()) - 1) / kBlockTokens;
    const int64_t found = pool_.Find(s.table, s.tokens, limit).blocks;
    const int64_t taken = pool_.Take(&s.table, s.tokens, limit);
    ASSERT_EQ(taken, found);
    hits_ += taken;
    s.computed = taken * kBlockTokens;
    if (random_.Chance(0.5)) pool_.Promise(&s.table);
  }

  void Advance(size_t index, bool fails) {
    Sequence& s = sequences_[index];
    const int64_t known = static_cast<int64_t>(s.tokens.size());
    const int64_t drafts = random_.Below(4) == 0 ? random_.Between(0, 6) : 0;
    const int64_t to = std::min(known, s.computed + random_.Between(1, 9));
    std::vector<BlockCopy> copies;
    if (!pool_.Reserve(&s.table, s.computed, to + drafts, &copies)) {
      ++refused_;
      return;
    }
    for (const BlockCopy& copy : copies) {
      for (int64_t i = 0; i < kBlockTokens; ++i) {
        content_[Slot(copy.to, i)] = content_[Slot(copy.from, i)];
      }
      ++copied_;
    }
    for (int64_t i = s.computed; i < to + drafts; ++i) {
      const BlockId block = s.table.blocks[static_cast<size_t>(i / kBlockTokens)];
      ASSERT_EQ(pool_.refs(block), 1) << "a block with two holders is written";
      ASSERT_FALSE(pool_.published(block)) << "a published block is written";
      content_[Slot(block, i)] = i < to && !fails ? TextHash(s, i + 1) : random_.Next();
    }
    if (fails) {
      End(index);
      return;
    }
    s.computed = to;
    pool_.Truncate(&s.table, to);
    pool_.Publish(&s.table, s.tokens, to);
    if (to == known) s.tokens.push_back(static_cast<TokenId>(random_.Below(3)));
  }

  void Fork(const Sequence& s) {
    Sequence fork = s;
    fork.table = pool_.Fork(s.table);
    if (!fork.tokens.empty() && fork.computed < static_cast<int64_t>(fork.tokens.size())) {
      fork.tokens.back() = static_cast<TokenId>(random_.Below(50));
      fork.table.keys.resize(static_cast<size_t>(fork.table.published));
    }
    sequences_.push_back(std::move(fork));
  }

  void Preempt(Sequence& s) {
    pool_.Release(&s.table);
    Begin(s);
  }

  void End(size_t index) {
    pool_.Release(&sequences_[index].table);
    sequences_.erase(sequences_.begin() + static_cast<int64_t>(index));
  }

  Random random_;
  BlockPool pool_{kBlocks, kBlockTokens, CacheSecret{}};
  std::vector<Sequence> sequences_;
  std::vector<uint64_t> content_ = std::vector<uint64_t>(kBlocks * kBlockTokens);
  int64_t hits_ = 0, refused_ = 0, copied_ = 0;
};

TEST(BlockPoolRandom, AccountsAreExactAfterEachOf100000Events) {
  RandomPool pool(20'26);
  for (int64_t event = 0; event < 100'000; ++event) {
    pool.Act();
    pool.Check();
    if (testing::Test::HasFatalFailure()) FAIL() << "event " << event;
  }
  pool.EndAll();
  pool.Check();
  EXPECT_EQ(pool.pool().used(), 0);
  // A history in which nothing happens would prove nothing.
  EXPECT_GT(pool.hits(), 1'000);
  EXPECT_GT(pool.refused(), 1'000);
  EXPECT_GT(pool.copies(), 500);
}

}  // namespace
}  // namespace longrun::serving
