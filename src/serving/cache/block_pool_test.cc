#include "serving/cache/block_pool.h"

#include <numeric>
#include <vector>

#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

using model::TokenId;

std::vector<TokenId> Range(int first, int count) {
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

class BlockPoolTest : public testing::Test {
 protected:
  BlockTable Open(const std::string& tenant) {
    BlockTable table;
    table.tenant = pool_.Tenant(tenant);
    return table;
  }
  // What a sequence does that computes all of `tokens` and ends.
  BlockTable Compute(const std::string& tenant, const std::vector<TokenId>& tokens) {
    BlockTable table = Open(tenant);
    pool_.Name(&table, tokens);
    const int64_t from = pool_.Take(&table, tokens, 1'000) * pool_.block_tokens();
    EXPECT_TRUE(pool_.Reserve(&table, from, static_cast<int64_t>(tokens.size()), &copies_));
    pool_.Publish(&table, tokens, static_cast<int64_t>(tokens.size()));
    return table;
  }
  void ExpectAccounts(int64_t free, int64_t used, int64_t cached) {
    EXPECT_EQ(pool_.free(), free);
    EXPECT_EQ(pool_.used(), used);
    EXPECT_EQ(pool_.cached(), cached);
  }

  BlockPool pool_{8, 4, CacheSecret{}};
  std::vector<BlockCopy> copies_;
};

TEST_F(BlockPoolTest, APrefixIsFoundAgainByItsTenantAlone) {
  BlockTable first = Compute("a", Range(0, 10));
  ExpectAccounts(5, 3, 0);
  BlockTable second = Open("a");
  pool_.Name(&second, Range(0, 10));
  EXPECT_EQ(pool_.Take(&second, Range(0, 10), 10), 2);  // full blocks alone
  EXPECT_EQ(second.blocks[0], first.blocks[0]);
  EXPECT_EQ(pool_.refs(first.blocks[0]), 2);
  BlockTable other = Open("b");
  pool_.Name(&other, Range(0, 10));
  EXPECT_EQ(pool_.Find(other, Range(0, 10), 10).blocks, 0);
  pool_.Release(&first);
  pool_.Release(&second);
  ExpectAccounts(6, 0, 2);
}

TEST_F(BlockPoolTest, NothingIsFoundBeforeItIsPublished) {
  BlockTable first = Open("a");
  pool_.Name(&first, Range(0, 8));
  pool_.Promise(&first);
  ASSERT_TRUE(pool_.Reserve(&first, 0, 8, &copies_));
  BlockTable second = Open("a");
  pool_.Name(&second, Range(0, 8));
  EXPECT_EQ(pool_.Find(second, Range(0, 8), 10).blocks, 0);
  EXPECT_TRUE(pool_.Find(second, Range(0, 8), 10).awaited);
  pool_.Publish(&first, Range(0, 8), 5);  // one block is whole
  EXPECT_EQ(pool_.Find(second, Range(0, 8), 10).blocks, 1);
  EXPECT_TRUE(pool_.Find(second, Range(0, 8), 10).awaited);
  pool_.Release(&first);  // its second block never comes
  EXPECT_FALSE(pool_.Find(second, Range(0, 8), 10).awaited);
}

TEST_F(BlockPoolTest, TheTailOfAPrefixIsEvictedBeforeItsHead) {
  BlockTable table = Compute("a", Range(0, 16));
  pool_.Release(&table);
  ExpectAccounts(4, 0, 4);
  BlockTable other = Open("b");
  ASSERT_TRUE(pool_.Reserve(&other, 0, 24, &copies_));
  ExpectAccounts(0, 6, 2);
  BlockTable again = Open("a");
  pool_.Name(&again, Range(0, 16));
  EXPECT_EQ(pool_.Find(again, Range(0, 16), 10).blocks, 2);
}

TEST_F(BlockPoolTest, TheLeastRecentlyUsedPrefixIsEvictedFirst) {
  BlockTable one = Compute("a", Range(0, 8));
  BlockTable two = Compute("a", Range(100, 8));
  pool_.Release(&one);
  pool_.Release(&two);
  BlockTable again = Compute("a", Range(0, 8));
  pool_.Release(&again);
  BlockTable other = Open("b");
  ASSERT_TRUE(pool_.Reserve(&other, 0, 24, &copies_));
  EXPECT_EQ(pool_.Find(again, Range(0, 8), 10).blocks, 2);
}

TEST_F(BlockPoolTest, ForksShareUntilTheyWrite) {
  BlockTable first = Compute("a", Range(0, 6));
  BlockTable second = pool_.Fork(first);
  ExpectAccounts(6, 2, 0);
  ASSERT_TRUE(pool_.Reserve(&first, 6, 7, &copies_));
  ASSERT_EQ(copies_.size(), 1u);  // its half-full block
  EXPECT_EQ(copies_[0].from, second.blocks[1]);
  EXPECT_EQ(copies_[0].to, first.blocks[1]);
  ASSERT_TRUE(pool_.Reserve(&second, 6, 7, &copies_));
  EXPECT_EQ(copies_.size(), 1u);  // the last one writes in place
  EXPECT_EQ(first.blocks[0], second.blocks[0]);
  pool_.Release(&first);
  pool_.Release(&second);
  ExpectAccounts(7, 0, 1);
}

TEST_F(BlockPoolTest, ATwinGivesWayToTheBlockThatWasPublishedFirst) {
  BlockTable first = Open("a"), second = Open("a");
  ASSERT_TRUE(pool_.Reserve(&first, 0, 4, &copies_));
  ASSERT_TRUE(pool_.Reserve(&second, 0, 4, &copies_));
  pool_.Publish(&first, Range(0, 4), 4);
  pool_.Publish(&second, Range(0, 4), 4);
  EXPECT_EQ(first.blocks, second.blocks);
  ExpectAccounts(7, 1, 0);
}

TEST_F(BlockPoolTest, WhatDoesNotFitChangesNothing) {
  BlockTable table = Compute("a", Range(0, 6));
  BlockTable fork = pool_.Fork(table);
  EXPECT_FALSE(pool_.Reserve(&table, 6, 33, &copies_));
  ExpectAccounts(6, 2, 0);
  EXPECT_TRUE(copies_.empty());
  EXPECT_EQ(pool_.refs(table.blocks[1]), 2);
}

TEST_F(BlockPoolTest, RefusedDraftsGiveTheirBlocksBack) {
  BlockTable table = Compute("a", Range(0, 6));
  ASSERT_TRUE(pool_.Reserve(&table, 6, 14, &copies_));
  ExpectAccounts(4, 4, 0);
  pool_.Truncate(&table, 7);
  ExpectAccounts(6, 2, 0);
}

}  // namespace
}  // namespace longrun::serving
