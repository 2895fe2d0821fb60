#include "training/checkpoint_manifest.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longrun::training {
namespace {

CheckpointManifest Two() {
  CheckpointManifest m;
  m.step = 120;
  m.config_hash = 0xfedcba9876543210;
  m.layout_hash = 7;
  m.floats = 100;
  m.tensors = {"parameters", "optimizer.exp_avg"};
  m.shards = {{"a.safetensors", 400, 0xffffffffffffffff, 0, 48, {0, 2, 0, 1, 0, 1}},
              {"b.safetensors", 420, 1, 48, 100, {1, 2, 0, 1, 0, 1}}};
  return m;
}

std::string Replaced(const std::string& from, const std::string& to) {
  std::string text = FormatManifest(Two());
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(CheckpointManifest, ComesBackAsItWas) {
  const auto back = ParseManifest(FormatManifest(Two()), "m");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, Two());
  const auto shard = ParseShard(FormatShard(Two().shards[1]), "s");
  ASSERT_TRUE(shard.ok()) << shard.status();
  EXPECT_EQ(*shard, Two().shards[1]);
}

TEST(CheckpointManifest, DamageIsToldByField) {
  const std::pair<std::string, std::string> cases[] = {
      {Replaced("\"step\": 120", "\"step\": -1"), "step"},
      {Replaced("\"step\": 120", "\"step\": 1.5"), "step"},
      {Replaced("\"step\": 120", "\"step\": 18446744073709551615"), "step"},
      {Replaced("longrun checkpoint", "something"), "format"},
      {Replaced("\"version\": 1", "\"version\": 2"), "version"},
      {Replaced("\"floats\": 100", "\"floats\": 101"), "end at 100 of 101"},
      {Replaced("\"begin\": 48", "\"begin\": 47"), "begins at 47"},
      {Replaced("\"begin\": 48", "\"begin\": 49"), "begins at 49"},
      {Replaced("a.safetensors", "../a.safetensors"), "file"},
      {Replaced("a.safetensors", "b.safetensors"), "twice"},
      {Replaced("ffffffffffffffff", "ffff"), "xxh3"},
      {Replaced("\"tensors\"", "\"tensor\""), "tensors"},
      {FormatManifest(Two()).substr(0, 200), "cut or damaged"},
      {"", "cut or damaged"},
      {"[]", "no object"},
  };
  for (const auto& [text, what] : cases) {
    const auto manifest = ParseManifest(text, "/run/manifest.json");
    ASSERT_FALSE(manifest.ok()) << text;
    EXPECT_THAT(
        std::string(manifest.status().message()),
        testing::AllOf(testing::StartsWith("/run/manifest.json"), testing::HasSubstr(what)));
  }
}

TEST(CheckpointManifest, EveryCutIsRefused) {
  const std::string whole = FormatManifest(Two());
  for (size_t size = 0; size + 2 < whole.size(); ++size) {
    EXPECT_FALSE(ParseManifest(whole.substr(0, size), "m").ok()) << size;
  }
}

}  // namespace
}  // namespace longrun::training
