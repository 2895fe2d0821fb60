#include "scaling/plan/json.h"

#include <nlohmann/json.hpp>

namespace longrun::scaling {
namespace {

using Json = nlohmann::ordered_json;

Json AllocationJson(const Allocation& one) {
  return {{"params", one.params},
          {"tokens", one.tokens},
          {"tokens_per_param", one.tokens / one.params},
          {"compute", one.compute},
          {"loss", one.loss}};
}

Json IntervalsJson(const std::vector<Interval>& intervals) {
  Json out = Json::object();
  for (const Interval& interval : intervals) {
    out[std::to_string(static_cast<int>(100 * interval.level + 0.5))] = {interval.low,
                                                                         interval.high};
  }
  return out;
}

Json SpreadJson(const AllocationIntervals& spread) {
  if (spread.params.empty()) return nullptr;
  return {{"draws", spread.draws},
          {"params", IntervalsJson(spread.params)},
          {"tokens", IntervalsJson(spread.tokens)},
          {"tokens_per_param", IntervalsJson(spread.tokens_per_param)},
          {"loss", IntervalsJson(spread.loss)}};
}

Json OverTrainedJson(const std::optional<OverTrained>& one) {
  if (!one) return nullptr;
  Json out = AllocationJson(one->choice);
  out["total_flop"] = one->total_flop;
  out["optimal_total_flop"] = one->optimal_total_flop;
  out["saved"] = 1 - one->total_flop / one->optimal_total_flop;
  return out;
}

Json ShapeJson(const ModelShape& shape) {
  return {{"layers", shape.layers},       {"width", shape.width},
          {"heads", shape.heads},         {"kv_heads", shape.kv_heads},
          {"head_size", shape.head_size}, {"feed_forward", shape.feed_forward},
          {"gated", shape.gated},         {"vocabulary", shape.vocabulary},
          {"tied", shape.tied},           {"params", shape.Params()}};
}

Json LayoutJson(const LayoutChoice& choice) {
  const Layout& layout = choice.layout;
  return {{"data", layout.data},
          {"tensor", layout.tensor},
          {"pipeline", layout.pipeline},
          {"chunks", layout.chunks},
          {"microbatches", layout.microbatches},
          {"sharding", layout.sharding == Layout::Sharding::kAll ? "all" : "optimizer"},
          {"recompute", layout.recompute},
          {"bubble", choice.overhead.bubble},
          {"slowdown", choice.overhead.slowdown()}};
}

Json MemoryJson(const RankMemory& memory, double usable_bytes) {
  return {{"parameters", memory.parameters}, {"gradients", memory.gradients},
          {"optimizer", memory.optimizer},   {"activations", memory.activations},
          {"total", memory.total()},         {"usable", usable_bytes}};
}

Json FailuresJson(const Failures& failures) {
  return {{"mtbf_seconds", failures.mtbf_seconds},
          {"restart_seconds", failures.restart_seconds},
          {"checkpoint_seconds", failures.checkpoint_seconds},
          {"checkpoint_interval_seconds", failures.interval_seconds},
          {"young_interval_seconds", failures.young_seconds},
          {"effective_share", failures.share},
          {"effective_share_formula", failures.share_formula},
          {"expected_interruptions", failures.expected},
          {"spare_nodes", failures.spare_nodes}};
}

Json ServingJson(const Execution& execution) {
  if (execution.serving_accelerators == 0) return nullptr;
  return {{"accelerators", execution.serving_accelerators},
          {"weights_bytes_per_rank", execution.serving.weights_bytes},
          {"kv_bytes_per_sequence", execution.serving.kv_bytes_per_sequence},
          {"sequences", execution.serving.sequences}};
}

Json ClusterJson(const Execution& execution, const Cluster& cluster) {
  const MeasuredEfficiency& measured = cluster.efficiency;
  return {{"name", cluster.name},
          {"accelerator", cluster.accelerator},
          {"accelerators", execution.accelerators},
          {"nodes", execution.layout.nodes},
          {"layout", LayoutJson(execution.layout)},
          {"rank_memory_bytes", MemoryJson(execution.layout.memory, cluster.usable_bytes())},
          {"mfu", execution.layout.mfu},
          {"mfu_measured", measured.mfu},
          {"mfu_source", measured.source},
          {"training_flop", execution.training_flop},
          {"steps", execution.steps},
          {"batch_sequences", execution.layout.batch_sequences},
          {"seconds_without_failures", execution.busy_seconds},
          {"seconds", execution.seconds},
          {"failures", FailuresJson(execution.failures)},
          {"peak_watts", execution.peak_watts},
          {"energy_kwh", execution.energy_kwh},
          {"cost", execution.cost ? Json(*execution.cost) : Json(nullptr)},
          {"currency", cluster.price.currency},
          {"price_source", cluster.price.source},
          {"serving", ServingJson(execution)}};
}

Json ConstraintsJson(const std::vector<Constraint>& constraints) {
  Json out = Json::array();
  for (const Constraint& one : constraints) {
    out.push_back({{"name", one.name},
                   {"used", one.used},
                   {"limit", one.limit},
                   {"unit", one.unit},
                   {"share", one.share()},
                   {"with_10_percent_more",
                    {{"loss", one.loss},
                     {"seconds", one.seconds ? Json(*one.seconds) : Json(nullptr)},
                     {"gain", one.gain}}}});
  }
  return out;
}

}  // namespace

Json PlanJson(const Plan& plan, const Cluster* cluster) {
  Json out = AllocationJson(plan.choice);
  out["intervals"] = SpreadJson(plan.intervals);
  out["over_trained"] = OverTrainedJson(plan.over_trained);
  out["shape"] = ShapeJson(plan.shape);
  out["context"] = plan.context;
  out["batch_tokens"] = plan.batch_tokens;
  out["flop_per_token"] = plan.flop_per_token;
  out["kv_bytes_per_token"] = plan.kv_bytes_per_token;
  out["cluster"] =
      plan.execution && cluster != nullptr ? ClusterJson(*plan.execution, *cluster) : Json(nullptr);
  out["constraints"] = ConstraintsJson(plan.constraints);
  out["binding"] = plan.binding.empty() ? Json(nullptr) : Json(plan.binding);
  out["feasible"] = plan.feasible;
  out["reachable"] = plan.reachable ? AllocationJson(*plan.reachable) : Json(nullptr);
  out["notes"] = plan.notes;
  return out;
}

}  // namespace longrun::scaling
