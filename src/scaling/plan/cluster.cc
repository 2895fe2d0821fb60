#include "scaling/plan/cluster.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "base/strict_yaml.h"

namespace longrun::scaling {
namespace {

constexpr double kGiga = 1e9;
constexpr double kTera = 1e12;

// A number that has no sensible default.
double Needed(YamlMap& map, const std::string& key, double lo, double hi, const char* what) {
  if (!map.Has(key)) {
    map.Error(key, absl::StrCat("is missing; ", what, " is right"));
    return lo;
  }
  return map.Double(key, lo, lo, hi);
}

void ReadAccelerator(YamlMap map, Cluster& cluster) {
  cluster.accelerator = map.Required("name");
  cluster.peak_flops =
      kTera * Needed(map, "bf16_tflops", 0.001, 1e6, "the peak of dense bf16 in TFLOP/s");
  cluster.memory_bytes = kGiga * Needed(map, "memory_gb", 0.1, 1e5, "its memory in GB");
  cluster.usable_memory = map.Double("usable_memory", 0.9, 0.1, 1);
  cluster.link_bytes_per_s =
      kGiga * Needed(map, "link_gb_per_s", 0.01, 1e5, "GB/s one way to its peers in the node");
  map.Done();
}

void ReadNodes(YamlMap map, Cluster& cluster) {
  if (!map.Has("count")) map.Error("count", "is missing; how many nodes there are is right");
  cluster.nodes = map.Int("count", 1, 1, 10'000'000);
  if (!map.Has("accelerators")) {
    map.Error("accelerators", "is missing; how many accelerators a node has is right");
  }
  cluster.accelerators_per_node = map.Int("accelerators", 1, 1, 1024);
  cluster.network_bytes_per_s =
      kGiga * Needed(map, "network_gb_per_s", 0.001, 1e5, "GB/s of an accelerator, one way");
  map.Done();
}

void ReadPower(YamlMap map, Cluster& cluster) {
  cluster.node_watts = Needed(map, "node_watts", 1, 1e7, "the most watts that a node draws");
  cluster.average_power = map.Double("average", 1, 0.01, 1);
  cluster.pue = map.Double("pue", 1, 1, 10);
  map.Done();
}

void ReadReliability(YamlMap map, Cluster& cluster) {
  cluster.failures_per_1000_node_days =
      Needed(map, "failures_per_1000_node_days", 1e-6, 1e6, "a measured rate (2 to 7, say)");
  cluster.detect_seconds = map.Time("detect", Duration::Minutes(10)).seconds();
  if (map.Has("restart")) cluster.restart_seconds = map.Time("restart", {}).seconds();
  cluster.repair_seconds = map.Time("repair", Duration::Hours(24)).seconds();
  map.Done();
}

void ReadEfficiency(YamlMap map, MeasuredEfficiency& efficiency) {
  efficiency.mfu = Needed(map, "mfu", 0.001, 1, "model FLOP over the peak, such as 0.4,");
  efficiency.source = map.Required("source");
  efficiency.tensor = map.Int("tensor", 1, 1, 1024);
  efficiency.pipeline = map.Int("pipeline", 1, 1, 100'000);
  efficiency.microbatches = map.Int("microbatches", 1, 1, 1'000'000);
  efficiency.chunks = map.Int("chunks", 1, 1, 100'000);
  efficiency.width = map.Int("width", 8192, 1, 10'000'000);
  efficiency.recompute = map.Bool("recompute", false);
  map.Done();
}

void ReadPrice(YamlMap map, Price& price) {
  price.accelerator_hour = map.Double("accelerator_hour", 0, 0, 1e6);
  price.electricity_kwh = map.Double("electricity_kwh", 0, 0, 1e4);
  price.currency = map.String("currency", "USD");
  price.source = map.String("source", "");
  if (price.given() && price.source.empty()) {
    map.Error("source", "is missing; where the price stands and of which day is right");
  }
  map.Done();
}

}  // namespace

absl::StatusOr<Cluster> ParseCluster(std::string_view text, const std::string& name) {
  LR_ASSIGN_OR_RETURN(const YamlNode root, ParseYaml(text, name));
  YamlErrors errors(name);
  YamlMap map(root, "", &errors);
  Cluster cluster;
  cluster.name = map.Required("name");
  ReadAccelerator(map.Map("accelerator"), cluster);
  ReadNodes(map.Map("nodes"), cluster);
  cluster.storage_bytes_per_s =
      kGiga * Needed(map, "storage_gb_per_s", 1e-3, 1e6, "GB/s that checkpoints are written with");
  ReadPower(map.Map("power"), cluster);
  ReadReliability(map.Map("reliability"), cluster);
  ReadEfficiency(map.Map("efficiency"), cluster.efficiency);
  ReadPrice(map.Map("price"), cluster.price);
  map.Done();
  LR_RETURN_IF_ERROR(errors.ToStatus());
  return cluster;
}

}  // namespace longrun::scaling
