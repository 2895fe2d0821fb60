#include "serving/openai/tenants.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/file.h"
#include "base/strict_yaml.h"

namespace longrun::serving {
namespace {

constexpr int64_t kLargestFile = 1 << 20;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool FromHex(std::string_view hex, KeyHash* hash) {
  if (hex.size() != 2 * hash->size()) return false;
  for (size_t i = 0; i < hash->size(); ++i) {
    const int high = HexDigit(hex[2 * i]), low = HexDigit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    (*hash)[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return true;
}

Tenant ReadTenant(const YamlNode& node, const std::string& path, YamlErrors* errors) {
  Tenant tenant;
  YamlMap map(node, path, errors);
  tenant.name = map.Required("name");
  for (const std::string& key : map.Strings("keys")) {
    if (key.size() < 8) map.Error("keys", "a key of under 8 characters can be guessed");
    tenant.keys.push_back(HashKey(key));
  }
  for (const std::string& hex : map.Strings("key_sha256")) {
    KeyHash hash;
    if (!FromHex(hex, &hash)) map.Error("key_sha256", "64 hexadecimal digits are right");
    tenant.keys.push_back(hash);
  }
  if (tenant.keys.empty()) map.Error("keys", "a tenant needs a key, or its SHA-256");
  if (map.Has("requests_per_minute"))
    tenant.requests_per_minute = map.Double("requests_per_minute", 1, 0.01, 1e9);
  if (map.Has("tokens_per_minute"))
    tenant.tokens_per_minute = map.Double("tokens_per_minute", 1, 1, 1e12);
  tenant.max_priority = static_cast<int32_t>(map.Int("max_priority", 0, -1'000'000, 1'000'000));
  tenant.models = map.Strings("models");
  map.Done();
  return tenant;
}

}  // namespace

bool Tenant::MayUse(std::string_view model) const {
  return models.empty() || std::find(models.begin(), models.end(), model) != models.end();
}

absl::StatusOr<std::vector<Tenant>> ParseTenants(std::string_view text, const std::string& name) {
  LR_ASSIGN_OR_RETURN(const YamlNode root, ParseYaml(text, name));
  YamlErrors errors(name);
  YamlMap map(root, "", &errors);
  std::vector<Tenant> tenants;
  std::set<std::string> names;
  std::set<KeyHash> keys;
  const YamlNode* list = map.Node("tenants");
  if (list == nullptr || list->kind != YamlNode::Kind::kSequence || list->items.empty()) {
    map.Error("tenants", "a list of tenants is right");
  } else {
    for (size_t i = 0; i < list->items.size(); ++i) {
      const std::string path = absl::StrCat("tenants[", i, "]");
      tenants.push_back(ReadTenant(list->items[i], path, &errors));
      if (!names.insert(tenants.back().name).second)
        errors.Add(list->items[i].line, path, "another tenant has this name");
      for (const KeyHash& key : tenants.back().keys) {
        if (!keys.insert(key).second)
          errors.Add(list->items[i].line, path, "a key stands twice; each belongs to one tenant");
      }
    }
  }
  map.Done();
  if (!errors.ok()) return errors.ToStatus();
  return tenants;
}

absl::StatusOr<std::vector<Tenant>> ReadTenants(const std::string& path) {
  LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kLargestFile));
  return ParseTenants(text, path);
}

KeyHash HashKey(std::string_view key) {
  KeyHash hash;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), hash.data());
  return hash;
}

std::optional<size_t> FindTenant(const std::vector<Tenant>& tenants, std::string_view key) {
  const KeyHash hash = HashKey(key);
  std::optional<size_t> found;
  for (size_t i = 0; i < tenants.size(); ++i) {
    for (const KeyHash& candidate : tenants[i].keys) {
      if (CRYPTO_memcmp(candidate.data(), hash.data(), hash.size()) == 0) found = i;
    }
  }
  return found;
}

std::optional<size_t> TenantNamed(const std::vector<Tenant>& tenants, std::string_view name) {
  const auto found = std::find_if(tenants.begin(), tenants.end(),
                                  [name](const Tenant& tenant) { return tenant.name == name; });
  if (found == tenants.end()) return std::nullopt;
  return static_cast<size_t>(found - tenants.begin());
}

std::string RandomName(size_t count) {
  static constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::string name;
  while (name.size() < count) {
    uint8_t bytes[64];
    LR_CHECK_EQ(RAND_bytes(bytes, sizeof bytes), 1);
    for (const uint8_t byte : bytes) {
      // 248 = 4 · 62: of larger bytes some letters would come more often.
      if (byte < 248 && name.size() < count) name.push_back(kLetters[byte % kLetters.size()]);
    }
  }
  return name;
}

uint64_t RandomSeed() {
  uint64_t seed = 0;
  LR_CHECK_EQ(RAND_bytes(reinterpret_cast<unsigned char*>(&seed), sizeof seed), 1);
  return seed;
}

}  // namespace longrun::serving
