#include "scaling/plan/layout.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/units.h"

namespace longrun::scaling {
namespace {

constexpr double kRecomputed = 1.0 / 3;  // the forward pass is a third of 6·N
constexpr int64_t kMostStages = 128;

double Bubble(int64_t pipeline, int64_t microbatches, int64_t chunks) {
  return static_cast<double>(pipeline - 1) / static_cast<double>(chunks * microbatches);
}

// Each layer moves 8·b·s·h·(t − 1)/t values of 2 bytes a micro-batch and takes 6·b·s·params/t FLOP.
double TensorShare(double width, double layer_params, int64_t tensor, double flops_per_s,
                   double bytes_per_s) {
  const double bytes = 16 * width * static_cast<double>(tensor - 1);
  return bytes / bytes_per_s / (6 * layer_params / flops_per_s);
}

// Bytes that travel for one parameter of a rank, and tokens trained on meanwhile.
double DataShare(const LayoutQuestion& question, const Layout& layout, const Cluster& cluster,
                 double flops_per_s) {
  if (layout.data == 1) return 0;
  const bool all = layout.sharding == Layout::Sharding::kAll;
  const double gathers = all ? 2 : 1;
  const double bytes =
      question.precision.gradient_bytes + gathers * question.precision.parameter_bytes;
  const double tokens =
      static_cast<double>(question.context) * (all ? 1 : static_cast<double>(layout.microbatches));
  const double bandwidth = layout.accelerators() <= cluster.accelerators_per_node
                               ? cluster.link_bytes_per_s
                               : cluster.network_bytes_per_s;
  const double travel = bytes * (layout.data - 1.0) / static_cast<double>(layout.data) / bandwidth;
  return std::max(0.0, travel / (6 * tokens / flops_per_s) - 1);
}

int64_t FinestChunks(const LayoutQuestion& question, int64_t pipeline) {
  return std::max<int64_t>(1, question.shape.layers / pipeline);
}

int64_t Microbatches(const LayoutQuestion& question, int64_t replicas) {
  return std::max<int64_t>(1, (question.batch_sequences + replicas / 2) / replicas);
}

// As many replicas as the accelerators and the batch allow; none where one does not fit in them.
std::optional<Layout> Filled(const LayoutQuestion& question, int64_t tensor, int64_t pipeline) {
  const int64_t most =
      std::min(question.accelerators / (tensor * pipeline), question.batch_sequences);
  if (most < 1) return std::nullopt;
  Layout layout;
  layout.tensor = tensor;
  layout.pipeline = pipeline;
  layout.chunks = FinestChunks(question, pipeline);
  layout.data = most;
  layout.microbatches = Microbatches(question, most);
  return layout;
}

struct Search {
  const LayoutQuestion& question;
  const Cluster& cluster;
  const double measured = MeasuredSlowdown(cluster);
  std::optional<LayoutChoice> best;
  double best_speed = 0;
  double leanest_bytes = std::numeric_limits<double>::infinity();
  Layout leanest;

  void Try(const Layout& layout) {
    LayoutChoice choice;
    choice.layout = layout;
    choice.memory = TrainingMemory(question.shape, layout, question.precision, question.context);
    if (choice.memory.total() < leanest_bytes) {
      leanest_bytes = choice.memory.total();
      leanest = layout;
    }
    if (choice.memory.total() > cluster.usable_bytes()) return;
    choice.overhead = OverheadOf(question, layout, cluster);
    choice.mfu = std::min(1.0, cluster.efficiency.mfu * measured / choice.overhead.slowdown());
    const double speed = static_cast<double>(layout.accelerators()) * choice.mfu;
    // A layout must be faster by more than the model can tell to displace a simpler one.
    if (best && speed <= best_speed * (1 + 1e-9)) return;
    const int64_t per_node = cluster.accelerators_per_node;
    choice.nodes = (layout.accelerators() + per_node - 1) / per_node;
    choice.batch_sequences = layout.data * layout.microbatches;
    best_speed = speed;
    best = choice;
  }

  void TryAllOf(Layout layout) {
    for (const bool recompute : {false, true}) {
      layout.recompute = recompute;
      layout.sharding = Layout::Sharding::kOptimizer;
      Try(layout);
      // Gathering parameters for each micro-batch of each stage is not done in practice.
      if (layout.pipeline > 1) continue;
      layout.sharding = Layout::Sharding::kAll;
      Try(layout);
    }
  }

  absl::StatusOr<LayoutChoice> Result() const {
    if (best) return *best;
    return absl::FailedPreconditionError(absl::StrCat(
        question.given ? "the layout does not fit" : "no layout fits", ": ",
        question.given ? "it" : absl::StrCat("the leanest (", leanest.Describe(), ")"), " needs ",
        FormatBytes(leanest_bytes), " on each accelerator, and ",
        FormatBytes(cluster.usable_bytes()), " of ", FormatBytes(cluster.memory_bytes),
        " are usable; more accelerators, more memory, a smaller model or shorter sequences would "
        "do"));
  }
};

absl::Status CheckGiven(const LayoutQuestion& question, const Layout& layout,
                        const Cluster& cluster) {
  const auto refuse = [&layout](const std::string& why) {
    return absl::InvalidArgumentError(absl::StrCat("layout ", layout.Describe(), ": ", why));
  };
  if (layout.accelerators() > question.accelerators) {
    return refuse(absl::StrCat("takes ", layout.accelerators(), " accelerators, and ",
                               question.accelerators, " may be used"));
  }
  if (layout.tensor > cluster.accelerators_per_node) {
    return refuse(absl::StrCat("tensor parallelism beyond a node of ",
                               cluster.accelerators_per_node, " is not modelled"));
  }
  if (question.shape.heads % layout.tensor != 0) {
    return refuse(absl::StrCat(question.shape.heads, " heads do not split over ", layout.tensor));
  }
  if (layout.pipeline * layout.chunks > question.shape.layers) {
    return refuse(absl::StrCat("more stages than the model's ", question.shape.layers, " layers"));
  }
  return absl::OkStatus();
}

}  // namespace

LayoutOverhead OverheadOf(const LayoutQuestion& question, const Layout& layout,
                          const Cluster& cluster) {
  const ModelShape& shape = question.shape;
  const double flops_per_s = cluster.peak_flops * cluster.efficiency.mfu;
  LayoutOverhead overhead;
  overhead.bubble = Bubble(layout.pipeline, layout.microbatches, layout.chunks);
  const int64_t longest = (shape.layers + layout.pipeline - 1) / layout.pipeline;
  overhead.imbalance =
      static_cast<double>(longest * layout.pipeline) / static_cast<double>(shape.layers) - 1;
  overhead.recompute = layout.recompute ? kRecomputed : 0;
  overhead.tensor = TensorShare(static_cast<double>(shape.width), shape.LayerParams(),
                                layout.tensor, flops_per_s, cluster.link_bytes_per_s);
  overhead.data = DataShare(question, layout, cluster, flops_per_s);
  return overhead;
}

double MeasuredSlowdown(const Cluster& cluster) {
  const MeasuredEfficiency& measured = cluster.efficiency;
  const double width = static_cast<double>(measured.width);
  LayoutOverhead overhead;
  overhead.bubble = Bubble(measured.pipeline, measured.microbatches, measured.chunks);
  overhead.recompute = measured.recompute ? kRecomputed : 0;
  overhead.tensor = TensorShare(width, 12 * width * width, measured.tensor,
                                cluster.peak_flops * measured.mfu, cluster.link_bytes_per_s);
  return overhead.slowdown();
}

absl::StatusOr<LayoutChoice> ChooseLayout(const LayoutQuestion& question, const Cluster& cluster) {
  LR_CHECK_GE(question.accelerators, 1);
  LR_CHECK_GE(question.batch_sequences, 1);
  Search search{question, cluster};
  if (question.given) {
    Layout layout = *question.given;
    layout.microbatches = Microbatches(question, layout.data);
    if (layout.chunks == 0) layout.chunks = FinestChunks(question, layout.pipeline);
    LR_RETURN_IF_ERROR(CheckGiven(question, layout, cluster));
    search.Try(layout);
    return search.Result();
  }
  for (int64_t tensor = 1; tensor <= cluster.accelerators_per_node; tensor *= 2) {
    if (question.shape.heads % tensor != 0) continue;
    for (int64_t stages = 1; stages <= std::min(kMostStages, question.shape.layers); ++stages) {
      const std::optional<Layout> layout = Filled(question, tensor, stages);
      if (layout) search.TryAllOf(*layout);
    }
  }
  return search.Result();
}

}  // namespace longrun::scaling
