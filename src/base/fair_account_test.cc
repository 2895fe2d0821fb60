#include "base/fair_account.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace longrun {
namespace {

// Takes `step` bytes at a time until the account says no; what it then holds.
int64_t TakeAll(FairShare* share, int64_t step) {
  while (share->Set(share->bytes() + step)) {
  }
  share->Set(share->bytes() - step);
  return share->bytes();
}

TEST(FairAccount, OneAloneGetsHalf) {
  FairAccount account(1000);
  FairShare one(account.PartyOf("one"));
  EXPECT_EQ(TakeAll(&one, 1), 500);
  EXPECT_EQ(account.bytes(), 500);
}

TEST(FairAccount, WhatOnePartyHoldsCountsTogether) {
  FairAccount account(1000);
  FairShare first(account.PartyOf("one")), second(account.PartyOf("one"));
  TakeAll(&first, 1);
  EXPECT_FALSE(second.Set(1));
  second.Set(0);
  FairShare other(account.PartyOf("other"));
  EXPECT_TRUE(other.Set(250));
  EXPECT_FALSE(other.Set(251));
}

TEST(FairAccount, PartiesThatTakeInTurnsShareEqually) {
  for (const int64_t parties : {2, 3, 9}) {
    FairAccount account(10'000);
    std::vector<std::unique_ptr<FairShare>> shares;
    for (int64_t i = 0; i < parties; ++i) {
      shares.push_back(std::make_unique<FairShare>(account.PartyOf(std::to_string(i))));
    }
    bool more = true;
    while (more) {
      more = false;
      for (const auto& share : shares) {
        if (share->Set(share->bytes() + 1)) {
          more = true;
        } else {
          share->Set(share->bytes() - 1);
        }
      }
    }
    for (const auto& share : shares) {
      EXPECT_NEAR(static_cast<double>(share->bytes()), 10'000.0 / static_cast<double>(parties + 1),
                  2);
    }
    FairShare last(account.PartyOf("last"));
    EXPECT_TRUE(last.Set(10'000 / (parties + 1) / 2 - 2)) << "something is left for whoever comes";
  }
}

TEST(FairAccount, WhatIsRefusedCountsUntilItIsGivenBackAndLessIsAlwaysRight) {
  FairAccount account(1000);
  {
    FairShare one(account.PartyOf("one"));
    EXPECT_FALSE(one.Set(2000));
    EXPECT_EQ(account.bytes(), 2000);
    EXPECT_TRUE(one.Set(1999));
    one.MoveTo(account.PartyOf("other"));
    EXPECT_EQ(account.bytes(), 1999);
  }
  EXPECT_EQ(account.bytes(), 0);
  FairShare one(account.PartyOf("one"));
  EXPECT_TRUE(one.Set(500)) << "it is the other's no more, and nothing stayed behind";
}

}  // namespace
}  // namespace longrun
