#include "serving/execute/cpu_weights.h"

#include <utility>

#include "serving/execute/tensor_source.h"
#include "serving/execute/weight_names.h"
#include "serving/execute/weight_packer.h"

namespace longrun::serving {
namespace {

using model::TensorView;

// Collects a model's matrices and vectors by name.
class Loader {
 public:
  Loader(const ModelConfig& config, const Kernels& kernels, WeightType type, CpuWeights* to)
      : config_(config),
        kernels_(kernels),
        to_(to),
        source_(*to->files, kernels, EndNames(config).prefix),
        packer_(kernels, type) {}

  absl::Status Load(ThreadPool& pool) {
    LR_RETURN_IF_ERROR(LoadLayers());
    LR_RETURN_IF_ERROR(source_.CheckAllUsed(NeedlessNames()));
    LR_RETURN_IF_ERROR(packer_.Pack(source_, pool, &to_->memory));
    to_->packed_bytes = to_->memory.bytes();
    return absl::OkStatus();
  }

 private:
  // Null where config.json says that there is none; it may then lie in the file as zeros, for other
  // readers' sake.
  absl::StatusOr<const TensorView*> Bias(const std::string& name, int64_t n, bool wanted) {
    if (!wanted && !source_.Has(name)) return nullptr;
    LR_ASSIGN_OR_RETURN(const TensorView* view, source_.Get(name, {n}));
    if (wanted) {
      to_->parameters += n;
      return view;
    }
    packer_.AddZeros(name, view);
    return nullptr;
  }

  absl::Status Vector(const std::string& name, std::vector<float>* to) {
    LR_ASSIGN_OR_RETURN(const TensorView* view, source_.Get(name, {config_.d_model}));
    to_->parameters += config_.d_model;
    packer_.AddVector(name, view, to);
    return absl::OkStatus();
  }

  absl::StatusOr<WeightPart> Part(const std::string& stem, int64_t rows, int64_t k, bool bias) {
    WeightPart part = {
        .name = stem + ".weight", .rows = rows, .transposed = StoredTransposed(config_)};
    const std::vector<int64_t> shape =
        part.transposed ? std::vector<int64_t>{k, rows} : std::vector<int64_t>{rows, k};
    LR_ASSIGN_OR_RETURN(part.view, source_.Get(part.name, shape));
    part.bias_name = stem + ".bias";
    LR_ASSIGN_OR_RETURN(part.bias, Bias(part.bias_name, rows, bias));
    to_->parameters += rows * k;
    return part;
  }

  absl::Status Linear(const NamedLinear& named, LinearWeights* to, bool in_turn = false) {
    std::vector<WeightPart> parts;
    for (const auto& [stem, rows] : named.parts) {
      LR_ASSIGN_OR_RETURN(WeightPart part, Part(stem, rows, named.k, named.bias));
      parts.push_back(std::move(part));
    }
    packer_.Add(to, std::move(parts), named.k, in_turn);
    return absl::OkStatus();
  }

  absl::Status Norm(const std::string& stem, NormWeights* to) {
    LR_RETURN_IF_ERROR(Vector(stem + ".weight", &to->gamma));
    if (config_.llama()) return absl::OkStatus();
    if (config_.attention_bias) return Vector(stem + ".bias", &to->beta);
    return Bias(stem + ".bias", config_.d_model, false).status();
  }

  // `packed`: the head packs it too, and checks it then.
  absl::Status Embedding(const std::string& name, int64_t rows, bool packed, EmbeddingTable* to) {
    LR_ASSIGN_OR_RETURN(const TensorView* view, source_.Get(name, {rows, config_.d_model}));
    *to = {.convert = ConvertFrom(kernels_, view->dtype),
           .rows = view->bytes.data(),
           .row_bytes = config_.d_model * model::BytesOf(view->dtype),
           .width = config_.d_model};
    to_->parameters += rows * config_.d_model;
    if (!packed) packer_.AddChecked(name, view);
    return absl::OkStatus();
  }

  absl::Status LoadLayers() {
    const NamedEnds ends = EndNames(config_);
    LR_RETURN_IF_ERROR(Embedding(ends.tokens, config_.vocab_size, config_.tied_head, &to_->tokens));
    if (!ends.positions.empty()) {
      LR_RETURN_IF_ERROR(Embedding(ends.positions, config_.positions, false, &to_->positions));
    }
    to_->layers.resize(static_cast<size_t>(config_.layers));
    for (int64_t i = 0; i < config_.layers; ++i) {
      const NamedLayer named = LayerNames(config_, i);
      LayerWeights& layer = to_->layers[static_cast<size_t>(i)];
      LR_RETURN_IF_ERROR(Norm(named.attention_norm, &layer.attention_norm));
      LR_RETURN_IF_ERROR(Linear(named.qkv, &layer.qkv));
      LR_RETURN_IF_ERROR(Linear(named.out, &layer.out));
      LR_RETURN_IF_ERROR(Norm(named.mlp_norm, &layer.mlp_norm));
      LR_RETURN_IF_ERROR(Linear(named.up, &layer.up, named.up.parts.size() == 2));
      LR_RETURN_IF_ERROR(Linear(named.down, &layer.down));
    }
    LR_RETURN_IF_ERROR(Norm(ends.last_norm, &to_->last_norm));
    LR_ASSIGN_OR_RETURN(const TensorView* head, source_.Head(config_));
    if (!config_.tied_head) to_->parameters += config_.vocab_size * config_.d_model;
    packer_.Add(&to_->head, {{.name = ends.head, .view = head, .rows = config_.vocab_size}},
                config_.d_model);
    return absl::OkStatus();
  }

  const ModelConfig& config_;
  const Kernels& kernels_;
  CpuWeights* const to_;
  TensorSource source_;
  WeightPacker packer_;
};

}  // namespace

WeightType TypeOfFiles(const model::SafetensorsModel& model) {
  for (const auto& [name, view] : model.tensors()) {
    if (view.dtype == model::DType::kF32 && view.shape.size() == 2) return WeightType::kF32;
  }
  return WeightType::kBF16;
}

absl::StatusOr<std::unique_ptr<CpuWeights>> LoadCpuWeights(
    std::unique_ptr<model::SafetensorsModel> files, const ModelConfig& config, WeightType type,
    const Kernels& kernels, ThreadPool& pool) {
  auto weights = std::make_unique<CpuWeights>();
  weights->files = std::move(files);
  LR_RETURN_IF_ERROR(Loader(config, kernels, type, weights.get()).Load(pool));
  return weights;
}

}  // namespace longrun::serving
