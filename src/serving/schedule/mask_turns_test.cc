#include "serving/schedule/mask_turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <numeric>

#include "base/random.h"

namespace longrun::serving {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kLeast = MaskTurns::kLeastEffort;

TEST(MaskTurns, TenantsGetAlikeHoweverManyRowsTheyHave) {
  EXPECT_THAT(MaskTurns(100'000).Share(std::vector<int32_t>{7}), ElementsAre(100'000));
  EXPECT_THAT(MaskTurns(100'000).Share(std::vector<int32_t>{7, 7, 7, 1}),
              ElementsAre(25'000, 12'500, 12'500, 50'000));
}

TEST(MaskTurns, WhatOneTenantLeavesGoesToTheOthersAndNoMore) {
  MaskTurns turns(90'000);
  const std::vector<int32_t> all = {1, 1, 2, 3};
  EXPECT_THAT(turns.Share(all), ElementsAre(15'000, 15'000, 30'000, 30'000));
  // All of the first, too little for its second; the second tenant is not done.
  turns.Spend(1, 15'000);
  turns.Spend(1, 6'000);
  turns.Spend(2, 30'000);
  turns.Spend(3, 10'000);
  EXPECT_THAT(turns.Share(std::vector<int32_t>{1, 2}), ElementsAre(19'000, 10'000));
  EXPECT_THAT(turns.Share(std::vector<int32_t>{1, 2, 3}), ElementsAre(9'000, 0, 20'000));
}

TEST(MaskTurns, WhatIsTooLittleToBeginWithIsLeftToTheOldest) {
  EXPECT_THAT(MaskTurns(10'000).Share(std::vector<int32_t>{1, 1, 1, 1, 1, 1}),
              ElementsAre(5'000, 2'500, 2'000, 0, 0, 0));
  std::vector<int32_t> many(100);
  std::iota(many.begin(), many.end(), 0);
  const std::vector<int64_t> shares = MaskTurns(10'000).Share(many);
  EXPECT_EQ(std::count(shares.begin(), shares.end(), kLeast), 5);
  EXPECT_EQ(std::count(shares.begin(), shares.begin() + 5, kLeast), 5);
  EXPECT_THAT(MaskTurns(kLeast - 1).Share(many), ::testing::Each(0));
}

struct Row {
  int32_t tenant;
  int64_t left;  // effort of its mask
  int64_t since;
};

// One step as the engine takes it: what is left unused is shared out again.
std::vector<Row> Step(int64_t effort, std::deque<Row>* rows) {
  std::vector<Row> ready;
  MaskTurns turns(effort);
  for (bool first = true; !rows->empty(); first = false) {
    std::vector<int32_t> tenants;
    for (const Row& row : *rows) tenants.push_back(row.tenant);
    const std::vector<int64_t> shares = turns.Share(tenants);
    EXPECT_TRUE(!first || shares[0] > 0);
    if (std::accumulate(shares.begin(), shares.end(), int64_t{0}) == 0) break;
    for (size_t i = 0; i < rows->size(); ++i) {
      const int64_t paid = std::min(shares[i], (*rows)[i].left);
      (*rows)[i].left -= paid;
      turns.Spend((*rows)[i].tenant, paid);
      effort -= paid;
    }
    EXPECT_GE(effort, 0);
    for (const Row& row : *rows) {
      if (row.left == 0) ready.push_back(row);
    }
    std::erase_if(*rows, [](const Row& row) { return row.left == 0; });
  }
  return ready;
}

// Whatever one tenant asks for: what needs less than another's part of a step is ready in it, and
// the dearest mask ends after as many steps as its own tenant's rows before it account for.
TEST(MaskTurns, CheapMasksAreReadyAtOnceAndDearOnesInTheEnd) {
  constexpr int64_t kEffort = 400'000, kDear = 2'000'000;
  constexpr int32_t kHostile = 1, kCheap = 2;
  std::deque<Row> rows;
  for (int i = 0; i < 48; ++i) rows.push_back({kHostile, kDear, 0});
  std::map<int32_t, int64_t> made;
  for (int64_t step = 0; step < 3'000; ++step) {
    for (int i = 0; i < 16; ++i) rows.push_back({kCheap, 12'000, step});
    for (const Row& row : Step(kEffort, &rows)) {
      ++made[row.tenant];
      if (row.tenant == kCheap) {
        EXPECT_EQ(row.since, step);
      } else {
        EXPECT_LE(step - row.since, 48 * kDear / (kEffort / 2) + 1);
        rows.push_back({kHostile, kDear, step + 1});
      }
    }
  }
  EXPECT_EQ(made[kCheap], 16 * 3'000);
  EXPECT_GT(made[kHostile], 3'000 * (kEffort / 2) / kDear - 48);
}

// Within a tenant as well what is cheap gets on while few rows are dear.
TEST(MaskTurns, AFewDearMasksLeaveTheirOwnTenantsCheapOnesRoom) {
  std::deque<Row> rows = {{1, 20'000'000, 0}, {1, 20'000'000, 0}};
  for (int64_t step = 0; step < 9; ++step) {
    for (int i = 0; i < 4; ++i) rows.push_back({1, 5'000, step});
    EXPECT_EQ(Step(400'000, &rows).size(), 4u) << step;
  }
}

// However little there is for however many, the oldest goes forward.
TEST(MaskTurns, NobodyWaitsForEver) {
  Random random(1);
  std::deque<Row> rows;
  int64_t longest = 0;
  for (int64_t step = 0; step < 20'000; ++step) {
    if (rows.size() < 100) {
      rows.push_back({static_cast<int32_t>(random.Below(60)),
                      static_cast<int64_t>(random.Between(1, 12'000)), step});
    }
    for (const Row& row : Step(5'000, &rows)) longest = std::max(longest, step - row.since);
  }
  EXPECT_GT(longest, 10);
  EXPECT_LE(longest, 100 * 12'000 / kLeast);
}

}  // namespace
}  // namespace longrun::serving
