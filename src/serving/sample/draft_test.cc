#include "serving/sample/draft.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace longrun::serving {
namespace {

using model::TokenId;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Tokens = std::vector<TokenId>;

TEST(Draft, WhatFollowedTheNewestTokensBefore) {
  const DraftConfig config{.longest = 3, .max_ngram = 3, .min_ngram = 2};
  EXPECT_THAT(Draft(Tokens{1, 2, 3, 4, 5, 6, 1, 2}, config), ElementsAre(3, 4, 5));
  EXPECT_THAT(Draft(Tokens{1, 2, 3, 4, 5, 6, 2}, config), IsEmpty());  // one token is too few
  EXPECT_THAT(Draft(Tokens{1, 2, 3, 4}, config), IsEmpty());
  EXPECT_THAT(Draft(Tokens{}, config), IsEmpty());
  EXPECT_THAT(Draft(Tokens{1, 2, 3, 1, 2}, DraftConfig{.longest = 0}), IsEmpty());
}

TEST(Draft, TheLongestMatchCountsThenTheNewest) {
  const DraftConfig config{.longest = 1, .max_ngram = 3, .min_ngram = 1};
  EXPECT_THAT(Draft(Tokens{7, 1, 2, 10, 8, 2, 20, 7, 1, 2}, config), ElementsAre(10));
  EXPECT_THAT(Draft(Tokens{1, 2, 10, 1, 2, 20, 1, 2}, config), ElementsAre(20));
  // No more than max_ngram tokens count, so the newer place wins.
  EXPECT_THAT(Draft(Tokens{9, 1, 2, 3, 10, 8, 1, 2, 3, 20, 9, 1, 2, 3}, config), ElementsAre(20));
}

TEST(Draft, WhatRepeatsGoesOnRepeating) {
  const DraftConfig config{.longest = 7, .max_ngram = 4, .min_ngram = 2};
  EXPECT_THAT(Draft(Tokens{9, 1, 2, 3, 1, 2, 3}, config), ElementsAre(1, 2, 3, 1, 2, 3, 1));
  EXPECT_THAT(Draft(Tokens{5, 5, 5}, config), ElementsAre(5, 5, 5, 5, 5, 5, 5));
}

// Against the definition: all n from the longest down, all places from the newest back.
TEST(Draft, AsTheDefinitionSays) {
  Random random(1);
  for (int round = 0; round < 3000; ++round) {
    Tokens tokens(random.Below(40));
    for (TokenId& t : tokens) t = static_cast<TokenId>(random.Below(4));
    const DraftConfig config{.longest = static_cast<int64_t>(random.Below(6)),
                             .max_ngram = random.Between(2, 5),
                             .min_ngram = random.Between(1, 2)};
    const auto size = static_cast<int64_t>(tokens.size());
    Tokens right;
    for (int64_t n = config.max_ngram; n >= config.min_ngram && right.empty(); --n) {
      for (int64_t end = size - 1; end >= n && right.empty(); --end) {
        if (!std::equal(tokens.end() - n, tokens.end(), tokens.begin() + end - n)) continue;
        Tokens all = tokens;
        for (int64_t i = 0; i < config.longest; ++i)
          all.push_back(all[static_cast<size_t>(end + i)]);
        right.assign(all.begin() + size, all.end());
      }
    }
    ASSERT_EQ(Draft(tokens, config), right);
  }
}

}  // namespace
}  // namespace longrun::serving
