#include "serving/execute/cpu_weights.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "serving/execute/tensor_source.h"
#include "serving/execute/weight_packer.h"

namespace longrun::serving {
namespace {

using model::TensorView;

// Collects a model's matrices by name, and reads its vectors.
class Loader {
 public:
  Loader(const ModelConfig& config, const Kernels& kernels, WeightType type, CpuWeights* to)
      : config_(config),
        kernels_(kernels),
        to_(to),
        source_(*to->files, kernels, config.llama() ? "model." : "transformer."),
        packer_(kernels, type) {}

  absl::Status Load(ThreadPool& pool) {
    to_->layers.resize(static_cast<size_t>(config_.layers));
    LR_RETURN_IF_ERROR(config_.llama() ? LoadLlama() : LoadGpt2());
    LR_RETURN_IF_ERROR(
        source_.CheckAllUsed({".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"}));
    LR_RETURN_IF_ERROR(packer_.Pack(source_, pool, &to_->memory));
    to_->packed_bytes = to_->memory.bytes();
    return absl::OkStatus();
  }

 private:
  int64_t QWidth() const { return config_.heads * config_.head_dim; }
  int64_t KvWidth() const { return config_.kv_heads * config_.head_dim; }

  // A bias that config.json denies may lie in the file as zeros, for other readers' sake.
  absl::StatusOr<std::vector<float>> Bias(const std::string& name, int64_t n, bool wanted) {
    if (!wanted && !source_.Has(name)) return std::vector<float>();
    LR_ASSIGN_OR_RETURN(std::vector<float> bias, source_.Vector(name, n));
    if (wanted) {
      to_->parameters += n;
      return bias;
    }
    if (std::any_of(bias.begin(), bias.end(), [](float b) { return b != 0; })) {
      return source_.Fail(name, "is not zero, but config.json says that there are no biases");
    }
    return std::vector<float>();
  }

  absl::StatusOr<WeightPart> Part(const std::string& stem, int64_t rows, int64_t k, bool bias) {
    WeightPart part = {.name = stem + ".weight", .rows = rows, .transposed = !config_.llama()};
    const std::vector<int64_t> shape =
        part.transposed ? std::vector<int64_t>{k, rows} : std::vector<int64_t>{rows, k};
    LR_ASSIGN_OR_RETURN(part.view, source_.Get(part.name, shape));
    LR_ASSIGN_OR_RETURN(part.bias, Bias(stem + ".bias", rows, bias));
    to_->parameters += rows * k;
    return part;
  }

  absl::Status Linear(const std::vector<std::pair<std::string, int64_t>>& stems, int64_t k,
                      bool bias, LinearWeights* to, bool in_turn = false) {
    std::vector<WeightPart> parts;
    for (const auto& [stem, rows] : stems) {
      LR_ASSIGN_OR_RETURN(WeightPart part, Part(stem, rows, k, bias));
      parts.push_back(std::move(part));
    }
    packer_.Add(to, std::move(parts), k, in_turn);
    return absl::OkStatus();
  }

  absl::Status Norm(const std::string& stem, bool beta, NormWeights* to) {
    LR_ASSIGN_OR_RETURN(to->gamma, source_.Vector(stem + ".weight", config_.d_model));
    to_->parameters += config_.d_model;
    if (config_.llama()) return absl::OkStatus();
    LR_ASSIGN_OR_RETURN(to->beta, Bias(stem + ".bias", config_.d_model, beta));
    return absl::OkStatus();
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

  absl::Status Head(const std::string& embedding) {
    const std::vector<int64_t> shape = {config_.vocab_size, config_.d_model};
    const std::string own = "lm_head.weight";
    const std::string& name = config_.tied_head ? embedding : own;
    LR_ASSIGN_OR_RETURN(const TensorView* view, source_.Get(name, shape));
    if (config_.tied_head && source_.Has(own)) {
      LR_ASSIGN_OR_RETURN(const TensorView* other, source_.Get(own, shape));
      if (other->dtype != view->dtype ||
          std::memcmp(other->bytes.data(), view->bytes.data(), view->bytes.size()) != 0) {
        return source_.Fail(
            own, "differs from '" + embedding + "', but config.json says tie_word_embeddings");
      }
    }
    if (!config_.tied_head) to_->parameters += config_.vocab_size * config_.d_model;
    packer_.Add(&to_->head, {{.name = name, .view = view, .rows = config_.vocab_size}},
                config_.d_model);
    return absl::OkStatus();
  }

  absl::Status LoadGpt2() {
    const int64_t d = config_.d_model;
    const bool bias = config_.attention_bias;
    LR_RETURN_IF_ERROR(
        Embedding("wte.weight", config_.vocab_size, config_.tied_head, &to_->tokens));
    LR_RETURN_IF_ERROR(Embedding("wpe.weight", config_.context, false, &to_->positions));
    for (size_t i = 0; i < to_->layers.size(); ++i) {
      const std::string h = "h." + std::to_string(i);
      LayerWeights& layer = to_->layers[i];
      LR_RETURN_IF_ERROR(Norm(h + ".ln_1", bias, &layer.attention_norm));
      LR_RETURN_IF_ERROR(Linear({{h + ".attn.c_attn", 3 * d}}, d, bias, &layer.qkv));
      LR_RETURN_IF_ERROR(Linear({{h + ".attn.c_proj", d}}, d, bias, &layer.out));
      LR_RETURN_IF_ERROR(Norm(h + ".ln_2", bias, &layer.mlp_norm));
      LR_RETURN_IF_ERROR(Linear({{h + ".mlp.c_fc", config_.d_ff}}, d, bias, &layer.up));
      LR_RETURN_IF_ERROR(Linear({{h + ".mlp.c_proj", d}}, config_.d_ff, bias, &layer.down));
    }
    LR_RETURN_IF_ERROR(Norm("ln_f", bias, &to_->last_norm));
    return Head("wte.weight");
  }

  absl::Status LoadLlama() {
    const int64_t d = config_.d_model;
    const bool bias = config_.attention_bias;
    LR_RETURN_IF_ERROR(
        Embedding("embed_tokens.weight", config_.vocab_size, config_.tied_head, &to_->tokens));
    for (size_t i = 0; i < to_->layers.size(); ++i) {
      const std::string l = "layers." + std::to_string(i);
      LayerWeights& layer = to_->layers[i];
      LR_RETURN_IF_ERROR(Norm(l + ".input_layernorm", false, &layer.attention_norm));
      LR_RETURN_IF_ERROR(Linear({{l + ".self_attn.q_proj", QWidth()},
                                 {l + ".self_attn.k_proj", KvWidth()},
                                 {l + ".self_attn.v_proj", KvWidth()}},
                                d, bias, &layer.qkv));
      LR_RETURN_IF_ERROR(Linear({{l + ".self_attn.o_proj", d}}, QWidth(), bias, &layer.out));
      LR_RETURN_IF_ERROR(Norm(l + ".post_attention_layernorm", false, &layer.mlp_norm));
      LR_RETURN_IF_ERROR(
          Linear({{l + ".mlp.gate_proj", config_.d_ff}, {l + ".mlp.up_proj", config_.d_ff}}, d,
                 config_.mlp_bias, &layer.up, true));
      LR_RETURN_IF_ERROR(
          Linear({{l + ".mlp.down_proj", d}}, config_.d_ff, config_.mlp_bias, &layer.down));
    }
    LR_RETURN_IF_ERROR(Norm("norm", false, &to_->last_norm));
    return Head("embed_tokens.weight");
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
