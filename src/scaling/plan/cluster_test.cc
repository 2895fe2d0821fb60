#include "scaling/plan/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "absl/strings/str_replace.h"
#include "base/file.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

constexpr char kCluster[] = R"(name: hall
accelerator: {name: H100, bf16_tflops: 989, memory_gb: 80, link_gb_per_s: 450}
nodes: {count: 64, accelerators: 8, network_gb_per_s: 50}
storage_gb_per_s: 100
power: {node_watts: 10200, average: 0.8, pue: 1.2}
reliability: {failures_per_1000_node_days: 4, detect: 60s, restart: 5m, repair: 8h}
efficiency: {mfu: 0.4, source: measured here}
price: {accelerator_hour: 4, currency: USD, source: "list, 2025-01-01"}
)";

std::string MessageOf(const std::string& from, const std::string& to) {
  const std::string text = absl::StrReplaceAll(kCluster, {{from, to}});
  EXPECT_NE(text, kCluster) << from;
  return std::string(ParseCluster(text, "hall.yaml").status().message());
}

TEST(PlanClusterTest, UnitsAreRead) {
  const Cluster cluster = ParseCluster(kCluster, "hall.yaml").value();
  EXPECT_EQ(cluster.accelerators(), 512);
  EXPECT_EQ(cluster.peak_flops, 989e12);
  EXPECT_EQ(cluster.memory_bytes, 80e9);
  EXPECT_EQ(cluster.storage_bytes_per_s, 100e9);
  EXPECT_EQ(cluster.detect_seconds, 60);
  EXPECT_EQ(cluster.restart_seconds, 300);
  EXPECT_EQ(cluster.repair_seconds, 8 * 3600);
  EXPECT_TRUE(cluster.price.given());
}

TEST(PlanClusterTest, MistakesAreNamedWithLineAndField) {
  EXPECT_THAT(MessageOf("memory_gb", "memory_gib"),
              HasSubstr("hall.yaml:2: accelerator.memory_gi"));
  EXPECT_THAT(MessageOf("memory_gb: 80, ", ""), HasSubstr("accelerator.memory_gb: is missing"));
  EXPECT_THAT(MessageOf("mfu: 0.4", "mfu: 40"), HasSubstr("hall.yaml:7: efficiency.mfu"));
  EXPECT_THAT(MessageOf("count: 64", "count: many"), HasSubstr("hall.yaml:3: nodes.count"));
  EXPECT_THAT(MessageOf("pue: 1.2", "pue: 0.2"), HasSubstr("power.pue"));
  EXPECT_THAT(MessageOf("detect: 60s", "detect: 60"), HasSubstr("reliability.detect"));
  EXPECT_THAT(MessageOf(", source: \"list, 2025-01-01\"", ""),
              HasSubstr("price.source: is missing"));
  EXPECT_THAT(MessageOf("989", ".nan"), HasSubstr("accelerator.bf16_tflops"));
  EXPECT_FALSE(ParseCluster("", "hall.yaml").ok());
  EXPECT_FALSE(ParseCluster("- 1\n", "hall.yaml").ok());
}

TEST(PlanClusterTest, TheExamplesAreRead) {
  for (const char* name : {"llama-3-h100", "jean-zay-a100", "aws-p5-h100"}) {
    const std::string path =
        std::string(std::getenv("LONGRUN_SOURCE")) + "/examples/clusters/" + name + ".yaml";
    const absl::StatusOr<Cluster> cluster = ParseCluster(ReadFile(path).value(), path);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    EXPECT_EQ(cluster->name, name);
  }
}

}  // namespace
}  // namespace longrun::scaling
