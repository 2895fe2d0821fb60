#include "serving/execute/model_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/file.h"
#include "model/strict_json.h"
#include "serving/execute/rotation.h"

namespace longrun::serving {
namespace {

using Json = nlohmann::json;

// Fields of a config.json; the first mistake is kept.
class Fields {
 public:
  Fields(const Json& json, std::string name) : json_(json), name_(std::move(name)) {}

  const absl::Status& status() const { return status_; }
  bool Has(const char* field) const {
    const auto it = json_.find(field);
    return it != json_.end() && !it->is_null();
  }
  Json Get(const char* field) const { return Has(field) ? json_[field] : Json(); }

  // In [1, limit]; `otherwise` 0: it must be there.
  int64_t Size(const char* field, int64_t limit, int64_t otherwise = 0) {
    if (!Has(field) && otherwise > 0) return otherwise;
    const Json value = Get(field);
    if (!value.is_number_integer()) {
      Fail(field, "must be there and be a whole number");
      return 1;
    }
    const int64_t size = value.get<int64_t>();
    if (size >= 1 && size <= limit) return size;
    Fail(field,
         std::to_string(size) + " is out of range; 1 to " + std::to_string(limit) + " is right");
    return 1;
  }
  double Number(const char* field, double otherwise) {
    if (!Has(field)) return otherwise;
    const Json value = Get(field);
    if (value.is_number()) return value.get<double>();
    Fail(field, "must be a number");
    return otherwise;
  }
  bool Flag(const char* field, bool otherwise) {
    if (!Has(field)) return otherwise;
    const Json value = Get(field);
    if (value.is_boolean()) return value.get<bool>();
    Fail(field, "must be true or false");
    return otherwise;
  }
  std::string Text(const char* field, const std::string& otherwise) {
    if (!Has(field)) return otherwise;
    const Json value = Get(field);
    if (value.is_string()) return value.get<std::string>();
    Fail(field, "must be text");
    return otherwise;
  }
  void MustBe(const char* field, bool value) {
    if (Flag(field, value) != value) {
      Fail(field, std::string("only ") + (value ? "true" : "false") + " is supported");
    }
  }
  void Fail(const std::string& field, const std::string& what) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(name_ + ": " + field + ": " + what);
  }

 private:
  const Json& json_;
  const std::string name_;
  absl::Status status_;
};

constexpr int64_t kMostLayers = 1000, kMostHeads = 1024, kWidest = 1 << 18;
constexpr int64_t kLongest = 1 << 24, kMostTokens = 1 << 24;

ModelConfig Gpt2(Fields& f) {
  ModelConfig c;
  c.family = "gpt2";
  c.layers = f.Size("n_layer", kMostLayers);
  c.d_model = f.Size("n_embd", kWidest);
  c.heads = c.kv_heads = f.Size("n_head", kMostHeads);
  c.context = c.positions = f.Size("n_positions", kLongest);
  c.vocab_size = f.Size("vocab_size", kMostTokens);
  c.d_ff = f.Size("n_inner", kWidest, 4 * c.d_model);
  c.norm_epsilon = f.Number("layer_norm_epsilon", 1e-5);
  c.attention_bias = c.output_bias = c.mlp_bias = f.Flag("bias", true);
  c.tied_head = f.Flag("tie_word_embeddings", true);
  if (c.d_model % c.heads != 0) {
    f.Fail("n_embd", std::to_string(c.d_model) + " is not a multiple of the " +
                         std::to_string(c.heads) + " heads");
  }
  c.head_dim = c.d_model / c.heads;
  const std::string activation = f.Text("activation_function", "gelu_new");
  if (activation != "gelu_new" && activation != "gelu_pytorch_tanh") {
    f.Fail("activation_function", "'" + activation + "' is not supported; 'gelu_new' is");
  }
  f.MustBe("scale_attn_weights", true);
  f.MustBe("scale_attn_by_inverse_layer_idx", false);
  f.MustBe("add_cross_attention", false);
  return c;
}

// Within its window attention is that of Llama, beyond it is not: the window bounds the context.
int64_t Within(Fields& f, int64_t context, bool windowed) {
  if (!windowed || !f.Has("sliding_window")) return context;
  return std::min(context, f.Size("sliding_window", kLongest));
}

// `type`: llama, mistral or qwen2.
ModelConfig Llama(Fields& f, const std::string& type) {
  ModelConfig c;
  c.family = "llama";
  c.layers = f.Size("num_hidden_layers", kMostLayers);
  c.d_model = f.Size("hidden_size", kWidest);
  c.heads = f.Size("num_attention_heads", kMostHeads);
  c.kv_heads = f.Size("num_key_value_heads", kMostHeads, c.heads);
  c.d_ff = f.Size("intermediate_size", kWidest);
  c.context = f.Size("max_position_embeddings", kLongest, 2048);
  c.vocab_size = f.Size("vocab_size", kMostTokens);
  c.norm_epsilon = f.Number("rms_norm_eps", 1e-6);
  c.attention_bias = type == "qwen2" || f.Flag("attention_bias", false);
  c.output_bias = type != "qwen2" && c.attention_bias;
  c.mlp_bias = f.Flag("mlp_bias", false);
  c.tied_head = f.Flag("tie_word_embeddings", false);
  if (!f.Has("head_dim") && c.d_model % c.heads != 0) {
    f.Fail("hidden_size", std::to_string(c.d_model) + " is not a multiple of the " +
                              std::to_string(c.heads) + " heads");
  }
  c.head_dim = f.Size("head_dim", kWidest, std::max<int64_t>(c.d_model / c.heads, 1));
  if (c.heads % c.kv_heads != 0) {
    f.Fail("num_key_value_heads", std::to_string(c.kv_heads) + " does not divide the " +
                                      std::to_string(c.heads) + " heads");
  }
  const std::string activation = f.Text("hidden_act", "silu");
  if (activation != "silu") {
    f.Fail("hidden_act", "'" + activation + "' is not supported; 'silu' is");
  }
  // Newer files keep all of it in rope_parameters.
  const Json parameters = f.Get("rope_parameters");
  double theta = f.Number("rope_theta", 10000);
  if (parameters.is_object() && parameters.contains("rope_theta") &&
      parameters["rope_theta"].is_number()) {
    theta = parameters["rope_theta"].get<double>();
  }
  if (!(theta > 1 && theta < 1e30)) f.Fail("rope_theta", "must be above 1");
  if (f.Number("partial_rotary_factor", 1) != 1) {
    f.Fail("partial_rotary_factor", "only 1 is supported");
  }
  if (!f.status().ok()) return c;
  auto rotation = MakeRotation(theta, c.head_dim, c.context,
                               parameters.is_object() ? parameters : f.Get("rope_scaling"));
  if (rotation.ok()) {
    c.rotation = *std::move(rotation);
  } else {
    f.Fail("config", std::string(rotation.status().message()));
  }
  c.context = Within(f, c.context,
                     type == "mistral" || (type == "qwen2" && f.Flag("use_sliding_window", false)));
  return c;
}

}  // namespace

absl::StatusOr<ModelConfig> ParseModelConfig(const std::string& text, const std::string& name) {
  LR_ASSIGN_OR_RETURN(const Json json, model::ParseStrictJson(text, name));
  if (!json.is_object()) return absl::InvalidArgumentError(name + ": is not a JSON object");
  Fields fields(json, name);
  const std::string type = fields.Text("model_type", "");
  ModelConfig config;
  if (type == "gpt2") {
    config = Gpt2(fields);
  } else if (type == "llama" || type == "mistral" || type == "qwen2") {
    config = Llama(fields, type);
  } else {
    fields.Fail("model_type",
                "'" + type + "' is not supported; gpt2, llama, mistral and qwen2 are");
  }
  if (!(config.norm_epsilon >= 0 && config.norm_epsilon < 1)) {
    fields.Fail("epsilon", "the norm's epsilon must be from 0 to below 1");
  }
  for (const auto& [field, size] : {std::pair("the model's width", config.d_model),
                                    std::pair("the width of a head", config.head_dim),
                                    std::pair("the width of the MLP", config.d_ff)}) {
    if (size % 2 != 0) fields.Fail(field, std::to_string(size) + " is odd; only even is supported");
  }
  LR_RETURN_IF_ERROR(fields.status());
  return config;
}

absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& folder, int64_t context) {
  const std::string path = folder + "/config.json";
  LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, int64_t{1} << 20));
  LR_ASSIGN_OR_RETURN(ModelConfig config, ParseModelConfig(text, path));
  if (context < 0 || context > config.context) {
    return absl::InvalidArgumentError("a context of " + std::to_string(context) + " tokens: " +
                                      path + " allows 1 to " + std::to_string(config.context));
  }
  if (context > 0) config.context = context;
  return config;
}

ModelShape ShapeOf(const ModelConfig& c) {
  ModelShape shape = {.family = c.family,
                      .layers = c.layers,
                      .d_model = c.d_model,
                      .heads = c.heads,
                      .kv_heads = c.kv_heads,
                      .head_dim = c.head_dim,
                      .d_ff = c.d_ff,
                      .vocab_size = c.vocab_size,
                      .context = c.context};
  const int64_t attention = c.d_model * c.head_dim * (2 * c.heads + 2 * c.kv_heads);
  const int64_t mlp = c.d_model * c.d_ff * (c.llama() ? 3 : 2);
  const int64_t end = c.d_model * c.head_dim * c.heads + mlp;
  shape.flops_per_token = 2.0 * static_cast<double>(c.layers * (attention + mlp) - end);
  shape.flops_of_end = 2.0 * static_cast<double>(end);
  shape.flops_of_head = 2.0 * static_cast<double>(c.d_model * c.vocab_size);
  return shape;
}

}  // namespace longrun::serving
