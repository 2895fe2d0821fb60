#include "model/hf_folder.h"

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "model/safetensors.h"
#include "model/strict_json.h"

namespace longrun::model {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kPrefix = "transformer.";

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

Json ConfigJson(const GptConfig& config, const HfExtras& extras) {
  const Json end = extras.end_of_text >= 0 ? Json(extras.end_of_text) : Json(nullptr);
  return {{"architectures", {"GPT2LMHeadModel"}},
          {"model_type", "gpt2"},
          {"activation_function", "gelu_new"},
          {"attn_pdrop", config.dropout},
          {"bias", config.bias},
          {"bos_token_id", end},
          {"embd_pdrop", config.dropout},
          {"eos_token_id", end},
          {"initializer_range", 0.02},
          {"layer_norm_epsilon", config.layer_norm_epsilon},
          {"n_ctx", config.context},
          {"n_embd", config.d_model},
          {"n_head", config.heads},
          {"n_inner", nullptr},
          {"n_layer", config.layers},
          {"n_positions", config.context},
          {"reorder_and_upcast_attn", false},
          {"resid_pdrop", config.dropout},
          {"scale_attn_by_inverse_layer_idx", false},
          {"scale_attn_weights", true},
          {"summary_activation", nullptr},
          {"summary_first_dropout", 0.1},
          {"summary_proj_to_labels", true},
          {"summary_type", "cls_index"},
          {"summary_use_proj", true},
          {"tie_word_embeddings", true},
          {"torch_dtype", "float32"},
          {"use_cache", true},
          {"vocab_size", config.vocab_size}};
}

// The biases that transformers expects of a model without any.
std::map<std::string, std::vector<int64_t>> AbsentBiases(const FlatParameters& flat) {
  std::map<std::string, std::vector<int64_t>> biases;
  for (const ParameterSlot& slot : flat.slots()) {
    if (slot.name.starts_with("wte") || slot.name.starts_with("wpe")) continue;
    const size_t stem = slot.name.rfind(".weight");
    if (stem == std::string::npos) continue;
    const std::string bias = slot.name.substr(0, stem) + ".bias";
    if (flat.Find(bias) < 0) biases[bias] = {slot.shape.back()};
  }
  return biases;
}

absl::Status SaveWeights(const Gpt& gpt, const std::string& path) {
  const FlatParameters& flat = gpt.flat();
  const at::Tensor values = flat.values().to(at::kCPU).contiguous();
  const float* data = values.data_ptr<float>();
  std::vector<TensorToWrite> tensors;
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape,
                       const float* from, int64_t count) {
    tensors.push_back({.name = std::string(kPrefix) + name,
                       .dtype = DType::kF32,
                       .shape = shape,
                       .bytes = std::as_bytes(std::span(from, static_cast<size_t>(count)))});
  };
  for (const ParameterSlot& slot : flat.slots()) {
    add(slot.name, slot.shape, data + slot.offset, slot.count);
  }
  const std::vector<float> zeros(static_cast<size_t>(gpt.config().d_ff()));
  for (const auto& [name, shape] : AbsentBiases(flat)) add(name, shape, zeros.data(), shape[0]);
  return WriteSafetensors(path, tensors, {{"format", "pt"}}).status();
}

// ---- reading ----

class ConfigReader {
 public:
  ConfigReader(const Json& json, std::string path) : json_(json), path_(std::move(path)) {}

  const absl::Status& status() const { return status_; }

  int64_t Int(const char* field) {
    const auto it = json_.find(field);
    if (it == json_.end() || !it->is_number_integer()) {
      Fail(field, "must be there and be a whole number");
      return 1;
    }
    return it->get<int64_t>();
  }
  double Double(const char* field, double otherwise) {
    const auto it = json_.find(field);
    if (it == json_.end() || it->is_null()) return otherwise;
    if (!it->is_number()) Fail(field, "must be a number");
    return it->is_number() ? it->get<double>() : otherwise;
  }
  bool Bool(const char* field, bool otherwise) {
    const auto it = json_.find(field);
    if (it == json_.end() || it->is_null()) return otherwise;
    if (!it->is_boolean()) Fail(field, "must be true or false");
    return it->is_boolean() ? it->get<bool>() : otherwise;
  }
  std::string String(const char* field, const std::string& otherwise) {
    const auto it = json_.find(field);
    if (it == json_.end() || it->is_null()) return otherwise;
    if (!it->is_string()) Fail(field, "must be text");
    return it->is_string() ? it->get<std::string>() : otherwise;
  }
  void Fail(const std::string& field, const std::string& what) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(path_ + ": " + field + ": " + what);
  }

 private:
  const Json& json_;
  const std::string path_;
  absl::Status status_;
};

// What this GPT-2 does not do must not be asked for.
void RefuseVariants(ConfigReader& reader, const GptConfig& config) {
  const std::string type = reader.String("model_type", "");
  if (type != "gpt2") reader.Fail("model_type", "'" + type + "' is not 'gpt2'");
  const std::string activation = reader.String("activation_function", "gelu_new");
  if (activation != "gelu_new" && activation != "gelu_pytorch_tanh") {
    reader.Fail("activation_function", "'" + activation + "' is not 'gelu_new'");
  }
  const double inner = reader.Double("n_inner", static_cast<double>(config.d_ff()));
  if (inner != static_cast<double>(config.d_ff())) {
    reader.Fail("n_inner", "only 4 x n_embd is supported");
  }
  if (!reader.Bool("scale_attn_weights", true)) {
    reader.Fail("scale_attn_weights", "only true is supported");
  }
  if (reader.Bool("scale_attn_by_inverse_layer_idx", false)) {
    reader.Fail("scale_attn_by_inverse_layer_idx", "only false is supported");
  }
  if (!reader.Bool("tie_word_embeddings", true)) {
    reader.Fail("tie_word_embeddings", "only true is supported");
  }
}

// The causal masks that files of old versions carry as "buffers".
bool IsMask(std::string_view name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}

absl::StatusOr<at::ScalarType> TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return at::kFloat;
    case DType::kF64:
      return at::kDouble;
    case DType::kF16:
      return at::kHalf;
    case DType::kBF16:
      return at::kBFloat16;
    default:
      return absl::InvalidArgumentError("of type " + std::string(NameOf(dtype)) +
                                        "; F32, F16, BF16 or F64 is right");
  }
}

absl::StatusOr<at::Tensor> ToTensor(const TensorView& view) {
  LR_ASSIGN_OR_RETURN(const at::ScalarType type, TypeOf(view.dtype));
  at::Tensor tensor = at::empty(view.shape, type);
  if (!view.bytes.empty()) std::memcpy(tensor.data_ptr(), view.bytes.data(), view.bytes.size());
  return tensor.to(at::kFloat);
}

class WeightReader {
 public:
  explicit WeightReader(SafetensorsModel model) : model_(std::move(model)) {}

  absl::Status ReadInto(const FlatParameters& flat, at::Tensor values) {
    for (size_t i = 0; i < flat.slots().size(); ++i) {
      const ParameterSlot& slot = flat.slots()[i];
      LR_ASSIGN_OR_RETURN(const at::Tensor tensor, Read(slot.name, slot.shape));
      flat.View(values, static_cast<int64_t>(i)).copy_(tensor);
    }
    return absl::OkStatus();
  }

  absl::Status CheckTheRest(const FlatParameters& flat, const at::Tensor& values) {
    for (const auto& [name, shape] : AbsentBiases(flat)) {
      if (!Has(name)) continue;
      LR_ASSIGN_OR_RETURN(const at::Tensor bias, Read(name, shape));
      if (bias.count_nonzero().item<int64_t>() != 0) {
        return Fail(name, "is not zero, but config.json says \"bias\": false");
      }
    }
    for (const auto& [name, view] : model_.tensors()) {
      if (used_.contains(name) || IsMask(name)) continue;
      if (name != "lm_head.weight") return Fail(name, "is not part of a GPT-2 of this size");
      const int64_t wte = flat.Find("wte.weight");
      const at::Tensor expected = flat.View(values, wte);
      LR_RETURN_IF_ERROR(CheckShape(name, view, flat.slots()[static_cast<size_t>(wte)].shape));
      LR_ASSIGN_OR_RETURN(const at::Tensor head, ToTensor(view));
      if (!head.equal(expected)) {
        return Fail(name, "differs from wte.weight; only tied heads are supported");
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Fail(const std::string& name, const std::string& what) const {
    return absl::InvalidArgumentError(model_.path() + ": tensor '" + name + "' " + what);
  }

  std::string NameInFile(const std::string& name) const {
    const std::string prefixed = std::string(kPrefix) + name;
    return model_.tensors().contains(prefixed) ? prefixed : name;
  }

  bool Has(const std::string& name) const { return model_.tensors().contains(NameInFile(name)); }

  absl::Status CheckShape(const std::string& name, const TensorView& view,
                          const std::vector<int64_t>& shape) const {
    if (view.shape == shape) return absl::OkStatus();
    return Fail(name, "has shape " + ShapeText(view.shape) + ", expected " + ShapeText(shape));
  }

  absl::StatusOr<at::Tensor> Read(const std::string& name, const std::vector<int64_t>& shape) {
    const std::string in_file = NameInFile(name);
    const auto it = model_.tensors().find(in_file);
    if (it == model_.tensors().end()) {
      return absl::NotFoundError(model_.path() + ": tensor '" + name + "' " + ShapeText(shape) +
                                 " is missing");
    }
    used_.insert(in_file);
    LR_RETURN_IF_ERROR(CheckShape(in_file, it->second, shape));
    absl::StatusOr<at::Tensor> tensor = ToTensor(it->second);
    if (!tensor.ok()) return Fail(in_file, "is " + std::string(tensor.status().message()));
    return tensor;
  }

  SafetensorsModel model_;
  std::set<std::string> used_;
};

// A config.json of absurd sizes must fail for that, and not for want of memory.
absl::Status CheckSize(const GptConfig& config, const std::string& folder) {
  LR_ASSIGN_OR_RETURN(const SafetensorsModel model, SafetensorsModel::Open(folder));
  int64_t stored = 0;
  for (const auto& [name, view] : model.tensors()) {
    stored += static_cast<int64_t>(view.bytes.size()) / BytesOf(view.dtype);
  }
  if (stored >= config.Parameters()) return absl::OkStatus();
  return absl::InvalidArgumentError(folder + ": config.json describes a model of " +
                                    std::to_string(config.Parameters()) +
                                    " parameters, but the tensors hold " + std::to_string(stored));
}

}  // namespace

absl::Status SaveHfFolder(const Gpt& gpt, const std::string& folder, const HfExtras& extras) {
  LR_RETURN_IF_ERROR(MakeFolder(folder));
  LR_RETURN_IF_ERROR(SaveWeights(gpt, folder + "/model.safetensors"));
  const Json config = ConfigJson(gpt.config(), extras);
  LR_RETURN_IF_ERROR(WriteFileAtomically(folder + "/config.json", config.dump(2) + "\n"));
  Json generation = {{"_from_model_config", true}, {"do_sample", true}};
  if (extras.end_of_text >= 0) {
    generation["bos_token_id"] = extras.end_of_text;
    generation["eos_token_id"] = extras.end_of_text;
  }
  return WriteFileAtomically(folder + "/generation_config.json", generation.dump(2) + "\n");
}

absl::StatusOr<GptConfig> ReadHfConfig(const std::string& folder) {
  const std::string path = folder + "/config.json";
  LR_ASSIGN_OR_RETURN(const Json json, ReadStrictJson(path, int64_t{1} << 20));
  if (!json.is_object()) return absl::InvalidArgumentError(path + ": is not a JSON object");
  ConfigReader reader(json, path);
  GptConfig config;
  config.layers = reader.Int("n_layer");
  config.heads = reader.Int("n_head");
  config.d_model = reader.Int("n_embd");
  config.context = reader.Int("n_positions");
  config.vocab_size = reader.Int("vocab_size");
  config.dropout = reader.Double("resid_pdrop", 0.1);
  config.bias = reader.Bool("bias", true);
  config.layer_norm_epsilon = reader.Double("layer_norm_epsilon", 1e-5);
  RefuseVariants(reader, config);
  LR_RETURN_IF_ERROR(reader.status());
  if (const absl::Status status = config.Validate(); !status.ok()) {
    return absl::InvalidArgumentError(path + ": " + std::string(status.message()));
  }
  return config;
}

absl::Status LoadHfWeights(const std::string& folder, Gpt* gpt) {
  LR_ASSIGN_OR_RETURN(SafetensorsModel model, SafetensorsModel::Open(folder));
  FlatParameters& flat = gpt->flat();
  const at::NoGradGuard no_grad;
  at::Tensor values = at::zeros({flat.size()}, at::kFloat);
  WeightReader reader(std::move(model));
  LR_RETURN_IF_ERROR(reader.ReadInto(flat, values));
  LR_RETURN_IF_ERROR(reader.CheckTheRest(flat, values));
  flat.values().copy_(values);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Gpt>> LoadHfFolder(const std::string& folder, at::Device device,
                                                  Precision precision) {
  LR_ASSIGN_OR_RETURN(const GptConfig config, ReadHfConfig(folder));
  LR_RETURN_IF_ERROR(CheckSize(config, folder));
  auto gpt = std::make_unique<Gpt>(config, device, 0, precision);
  LR_RETURN_IF_ERROR(LoadHfWeights(folder, gpt.get()));
  return gpt;
}

}  // namespace longrun::model
