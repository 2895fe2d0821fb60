#include "serving/openai/tenants.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

absl::StatusOr<std::vector<Tenant>> Parse(const std::string& text) {
  return ParseTenants(text, "keys.yaml");
}

TEST(TenantsTest, ReadsKeysLimitsAndModels) {
  // The SHA-256 of "password" (coreutils' sha256sum).
  const auto tenants = Parse(R"(
tenants:
  - name: research
    keys: [sk-one-of-two, sk-two-of-two]
    requests_per_minute: 600
    tokens_per_minute: 100000
    max_priority: 10
    models: [gpt2, llama]
  - name: guests
    key_sha256: [5E884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8]
)");
  ASSERT_TRUE(tenants.ok()) << tenants.status();
  ASSERT_EQ(tenants->size(), 2u);
  const Tenant& research = (*tenants)[0];
  EXPECT_EQ(research.name, "research");
  EXPECT_EQ(research.requests_per_minute, 600);
  EXPECT_EQ(research.tokens_per_minute, 100000);
  EXPECT_EQ(research.max_priority, 10);
  EXPECT_TRUE(research.MayUse("llama"));
  EXPECT_FALSE(research.MayUse("other"));
  const Tenant& guests = (*tenants)[1];
  EXPECT_FALSE(guests.requests_per_minute.has_value());
  EXPECT_EQ(guests.max_priority, 0);
  EXPECT_TRUE(guests.MayUse("anything"));

  EXPECT_EQ(FindTenant(*tenants, "sk-one-of-two"), 0u);
  EXPECT_EQ(FindTenant(*tenants, "sk-two-of-two"), 0u);
  EXPECT_EQ(FindTenant(*tenants, "password"), 1u);
  for (const char* wrong : {"", "sk-one-of-tw", "sk-one-of-two ", "Password",
                            "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"})
    EXPECT_EQ(FindTenant(*tenants, wrong), std::nullopt) << wrong;
}

TEST(TenantsTest, RefusesWhatCouldMixTenantsUp) {
  const struct {
    std::string text, said;
  } cases[] = {
      {"tenants: []", "a list of tenants"},
      {"tenant: []", "tenants"},
      {"tenants:\n  - name: a\n", "needs a key"},
      {"tenants:\n  - keys: [sk-12345]\n", "name"},
      {"tenants:\n  - {name: a, keys: [short]}\n", "can be guessed"},
      {"tenants:\n  - {name: a, key_sha256: [abc]}\n", "64 hexadecimal digits"},
      {"tenants:\n  - {name: a, keys: [sk-12345], tokens_per_minute: 0}\n", "tokens_per_minute"},
      {"tenants:\n  - {name: a, keys: [sk-12345], color: red}\n", "color"},
      {"tenants:\n  - {name: a, keys: [sk-12345]}\n  - {name: a, keys: [sk-67890]}\n",
       "another tenant has this name"},
      {"tenants:\n  - {name: a, keys: [sk-12345]}\n  - {name: b, keys: [sk-12345]}\n",
       "stands twice"},
      // The prefix cache is salted with the name; "" is nobody's.
      {"tenants:\n  - {name: '', keys: [sk-12345]}\n", "name"},
  };
  for (const auto& [text, said] : cases) {
    const auto tenants = Parse(text);
    ASSERT_FALSE(tenants.ok()) << text;
    const std::string message(tenants.status().message());
    EXPECT_NE(message.find(said), std::string::npos) << text << "\n" << message;
    EXPECT_NE(message.find("keys.yaml"), std::string::npos) << message;
    EXPECT_EQ(message.find("sk-12345"), std::string::npos) << "a key is told: " << message;
  }
}

TEST(TenantsTest, NamesAndSeedsAreNotToBeGuessed) {
  std::set<std::string> names;
  std::set<char> letters;
  for (int i = 0; i < 1000; ++i) {
    const std::string name = RandomName(24);
    ASSERT_EQ(name.size(), 24u);
    EXPECT_TRUE(names.insert(name).second);
    letters.insert(name.begin(), name.end());
  }
  EXPECT_EQ(letters.size(), 62u);
  EXPECT_EQ(RandomName(0), "");
  EXPECT_EQ(RandomName(200).size(), 200u);
  EXPECT_NE(RandomSeed(), RandomSeed());
}

}  // namespace
}  // namespace longrun::serving
