#include "serving/cache/prefix_key.h"

#include <vector>

#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

using model::TokenId;

CacheSecret SecretOf(int n) {
  CacheSecret secret;
  for (size_t i = 0; i < secret.size(); ++i) secret[i] = static_cast<std::byte>(i * 7 + n);
  return secret;
}

TEST(PrefixKey, TellsTenantsTokensAndTheirOrderApart) {
  const PrefixHasher hasher(SecretOf(1));
  EXPECT_NE(hasher.Root("a"), hasher.Root("b"));
  EXPECT_NE(hasher.Root(""), hasher.Root(std::string_view("\0", 1)));
  const PrefixKey root = hasher.Root("a");
  EXPECT_EQ(hasher.Next(root, std::vector<TokenId>{1, 2}),
            hasher.Next(root, std::vector<TokenId>{1, 2}));
  EXPECT_NE(hasher.Next(root, std::vector<TokenId>{1, 2}),
            hasher.Next(root, std::vector<TokenId>{2, 1}));
  EXPECT_NE(hasher.Next(root, std::vector<TokenId>{1, 2}),
            hasher.Next(hasher.Root("b"), std::vector<TokenId>{1, 2}));
  EXPECT_NE(hasher.Next(root, std::vector<TokenId>{1, 2}),
            hasher.Next(root, std::vector<TokenId>{1, 2, 0}));
}

// The encoding names its lengths: where one part ends cannot be moved.
TEST(PrefixKey, CutsOfTheSameTokensDiffer) {
  const PrefixHasher hasher(SecretOf(1));
  const PrefixKey root = hasher.Root("a");
  const PrefixKey one_two =
      hasher.Next(hasher.Next(root, std::vector<TokenId>{1}), std::vector<TokenId>{2, 3});
  const PrefixKey two_one =
      hasher.Next(hasher.Next(root, std::vector<TokenId>{1, 2}), std::vector<TokenId>{3});
  EXPECT_NE(one_two, two_one);
}

// A tenant whose name spells what a block's encoding looks like gets no block's key.
TEST(PrefixKey, ATenantsNameCannotSpellABlock) {
  const PrefixHasher hasher(SecretOf(1));
  const PrefixKey root = hasher.Root("a");
  const std::vector<TokenId> tokens = {1, 2};
  std::string name(reinterpret_cast<const char*>(&root), sizeof root);
  const uint64_t length = tokens.size() * sizeof(TokenId);
  name.append(reinterpret_cast<const char*>(&length), sizeof length);
  name.append(reinterpret_cast<const char*>(tokens.data()), length);
  EXPECT_NE(hasher.Root(name), hasher.Next(root, tokens));
}

TEST(PrefixKey, IsAFunctionOfTheSecret) {
  EXPECT_NE(PrefixHasher(SecretOf(1)).Root("a"), PrefixHasher(SecretOf(2)).Root("a"));
  EXPECT_NE(DrawCacheSecret(), DrawCacheSecret());
}

}  // namespace
}  // namespace longrun::serving
