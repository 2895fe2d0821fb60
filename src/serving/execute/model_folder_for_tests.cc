#include "serving/execute/model_folder_for_tests.h"

#include <fmt/core.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/check.h"
#include "base/file.h"
#include "base/random.h"
#include "model/cpu_math.h"

namespace longrun::serving {
namespace {

using Rows = std::vector<std::vector<double>>;

FolderTensor RandomTensor(std::vector<int64_t> shape, Random& random, double mean, double std) {
  FolderTensor tensor = {.shape = std::move(shape)};
  int64_t n = 1;
  for (const int64_t size : tensor.shape) n *= size;
  for (int64_t i = 0; i < n; ++i) {
    tensor.values.push_back(static_cast<float>(mean + std * random.Normal()));
  }
  return tensor;
}

uint16_t ToHalf(float value) {  // normal numbers alone, to nearest
  const uint32_t bits = model::loops::ToBits(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const int32_t exponent = static_cast<int32_t>(bits >> 23 & 0xff) - 127 + 15;
  if (exponent <= 0) return static_cast<uint16_t>(sign);
  const uint32_t size = static_cast<uint32_t>(exponent) << 10 | (bits >> 13 & 0x3ff);
  return static_cast<uint16_t>(sign | (size + (bits >> 12 & 1)));
}

std::vector<std::byte> Encode(const std::vector<float>& values, model::DType dtype) {
  const size_t element = static_cast<size_t>(model::BytesOf(dtype));
  std::vector<std::byte> bytes(values.size() * element);
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == model::DType::kF32) {
      std::memcpy(&bytes[i * element], &values[i], element);
    } else if (dtype == model::DType::kBF16) {
      model::loops::Bf16 rounded;
      model::loops::Store(&rounded, values[i]);
      std::memcpy(&bytes[i * element], &rounded, element);
    } else {
      const uint16_t half = ToHalf(values[i]);
      std::memcpy(&bytes[i * element], &half, element);
    }
  }
  return bytes;
}

class Plain {
 public:
  explicit Plain(const ModelFolder& folder) : folder_(folder), c_(folder.config()) {}

  PlainResult Run(const std::vector<model::TokenId>& tokens) {
    const size_t d = static_cast<size_t>(c_.d_model);
    Rows x(tokens.size(), std::vector<double>(d));
    const auto& embedding =
        Get(c_.llama() ? "model.embed_tokens.weight" : "transformer.wte.weight");
    for (size_t t = 0; t < tokens.size(); ++t) {
      for (size_t i = 0; i < d; ++i) {
        x[t][i] = embedding.values[static_cast<size_t>(tokens[t]) * d + i];
        if (!c_.llama()) x[t][i] += Get("transformer.wpe.weight").values[t * d + i];
      }
    }
    for (int64_t l = 0; l < c_.layers; ++l) c_.llama() ? LlamaLayer(l, &x) : Gpt2Layer(l, &x);
    const Rows last = Norm(x, c_.llama() ? "model.norm" : "transformer.ln_f");
    const auto& head = c_.tied_head ? embedding : Get("lm_head.weight");
    PlainResult result;
    for (const auto& row : last) {
      for (const double v : row) result.states.push_back(static_cast<float>(v));
      for (int64_t v = 0; v < c_.vocab_size; ++v) {
        double sum = 0;
        for (size_t i = 0; i < d; ++i) sum += row[i] * head.values[static_cast<size_t>(v) * d + i];
        result.logits.push_back(static_cast<float>(sum));
      }
    }
    return result;
  }

 private:
  const FolderTensor& Get(const std::string& name) const {
    const auto it = folder_.tensors.find(name);
    LR_CHECK(it != folder_.tensors.end());
    return it->second;
  }
  bool Has(const std::string& name) const { return folder_.tensors.contains(name); }

  Rows Norm(const Rows& x, const std::string& stem) const {
    Rows y = x;
    for (auto& row : y) {
      double mean = 0, variance = 0;
      for (const double v : row) mean += v / static_cast<double>(row.size());
      if (c_.llama()) mean = 0;
      for (const double v : row) variance += (v - mean) * (v - mean);
      variance /= static_cast<double>(row.size());
      for (size_t i = 0; i < row.size(); ++i) {
        row[i] = (row[i] - mean) / std::sqrt(variance + c_.norm_epsilon) *
                 Get(stem + ".weight").values[i];
        if (Has(stem + ".bias")) row[i] += Get(stem + ".bias").values[i];
      }
    }
    return y;
  }

  Rows Linear(const Rows& x, const std::string& stem) const {
    const FolderTensor& w = Get(stem + ".weight");
    const size_t k = x[0].size(), n = w.values.size() / k;
    Rows y(x.size(), std::vector<double>(n));
    for (size_t t = 0; t < x.size(); ++t) {
      for (size_t o = 0; o < n; ++o) {
        double sum = Has(stem + ".bias") ? Get(stem + ".bias").values[o] : 0;
        for (size_t i = 0; i < k; ++i) {
          sum += x[t][i] * (c_.llama() ? w.values[o * k + i] : w.values[i * n + o]);
        }
        y[t][o] = sum;
      }
    }
    return y;
  }

  void Turn(Rows* x) const {
    const size_t dim = static_cast<size_t>(c_.head_dim), half = dim / 2;
    for (size_t t = 0; t < x->size(); ++t) {
      for (size_t begin = 0; begin < (*x)[t].size(); begin += dim) {
        for (size_t i = 0; i < half; ++i) {
          const double angle = static_cast<double>(t) * c_.rotation.frequencies[i];
          const double a = (*x)[t][begin + i], b = (*x)[t][begin + half + i];
          const double m = c_.rotation.magnitude;
          (*x)[t][begin + i] = m * (a * std::cos(angle) - b * std::sin(angle));
          (*x)[t][begin + half + i] = m * (b * std::cos(angle) + a * std::sin(angle));
        }
      }
    }
  }

  Rows Attend(const Rows& q, const Rows& k, const Rows& v) const {
    const size_t dim = static_cast<size_t>(c_.head_dim);
    const size_t group = static_cast<size_t>(c_.heads / c_.kv_heads);
    Rows y = q;
    for (size_t t = 0; t < q.size(); ++t) {
      for (size_t h = 0; h < static_cast<size_t>(c_.heads); ++h) {
        std::vector<double> p(t + 1);
        double total = 0;
        for (size_t s = 0; s <= t; ++s) {
          double dot = 0;
          for (size_t i = 0; i < dim; ++i) dot += q[t][h * dim + i] * k[s][h / group * dim + i];
          total += p[s] = std::exp(dot / std::sqrt(static_cast<double>(dim)));
        }
        for (size_t i = 0; i < dim; ++i) {
          double sum = 0;
          for (size_t s = 0; s <= t; ++s) sum += p[s] * v[s][h / group * dim + i];
          y[t][h * dim + i] = sum / total;
        }
      }
    }
    return y;
  }

  static void Add(const Rows& y, Rows* x) {
    for (size_t t = 0; t < y.size(); ++t) {
      for (size_t i = 0; i < y[t].size(); ++i) (*x)[t][i] += y[t][i];
    }
  }

  void Gpt2Layer(int64_t l, Rows* x) const {
    const std::string h = "transformer.h." + std::to_string(l);
    const size_t d = static_cast<size_t>(c_.d_model);
    Rows parts[3];
    for (const auto& row : Linear(Norm(*x, h + ".ln_1"), h + ".attn.c_attn")) {
      for (size_t i = 0; i < 3; ++i) {
        const auto begin = row.begin() + static_cast<std::ptrdiff_t>(i * d);
        parts[i].emplace_back(begin, begin + static_cast<std::ptrdiff_t>(d));
      }
    }
    Add(Linear(Attend(parts[0], parts[1], parts[2]), h + ".attn.c_proj"), x);
    Rows up = Linear(Norm(*x, h + ".ln_2"), h + ".mlp.c_fc");
    for (auto& row : up) {
      for (double& v : row) {
        v = 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
      }
    }
    Add(Linear(up, h + ".mlp.c_proj"), x);
  }

  void LlamaLayer(int64_t l, Rows* x) const {
    const std::string layer = "model.layers." + std::to_string(l);
    const Rows normed = Norm(*x, layer + ".input_layernorm");
    Rows q = Linear(normed, layer + ".self_attn.q_proj");
    Rows k = Linear(normed, layer + ".self_attn.k_proj");
    Turn(&q);
    Turn(&k);
    const Rows v = Linear(normed, layer + ".self_attn.v_proj");
    Add(Linear(Attend(q, k, v), layer + ".self_attn.o_proj"), x);
    const Rows second = Norm(*x, layer + ".post_attention_layernorm");
    Rows gate = Linear(second, layer + ".mlp.gate_proj");
    const Rows up = Linear(second, layer + ".mlp.up_proj");
    for (size_t t = 0; t < gate.size(); ++t) {
      for (size_t i = 0; i < gate[t].size(); ++i) {
        gate[t][i] = gate[t][i] / (1 + std::exp(-gate[t][i])) * up[t][i];
      }
    }
    Add(Linear(gate, layer + ".mlp.down_proj"), x);
  }

  const ModelFolder& folder_;
  const ModelConfig c_;
};

}  // namespace

void ModelFolder::Write(const std::string& folder, model::DType dtype) const {
  LR_CHECK(MakeFolder(folder).ok());
  LR_CHECK(WriteFileAtomically(folder + "/config.json", config_json).ok());
  std::vector<std::vector<std::byte>> bytes;
  std::vector<model::TensorToWrite> to_write;
  for (const auto& [name, tensor] : tensors) {
    bytes.push_back(Encode(tensor.values, dtype));
    to_write.push_back(
        {.name = name, .dtype = dtype, .shape = tensor.shape, .bytes = bytes.back()});
  }
  LR_CHECK(model::WriteSafetensors(folder + "/model.safetensors", to_write).ok());
}

ModelConfig ModelFolder::config() const {
  const auto config = ParseModelConfig(config_json, "config.json");
  LR_CHECK(config.ok());
  return *config;
}

ModelFolder RandomGpt2(int64_t layers, int64_t heads, int64_t d, int64_t context, int64_t vocab,
                       bool bias) {
  ModelFolder folder;
  folder.config_json = fmt::format(
      R"({{"model_type": "gpt2", "n_layer": {}, "n_head": {}, "n_embd": {}, "n_positions": {},
          "vocab_size": {}, "bias": {}}})",
      layers, heads, d, context, vocab, bias);
  Random random(static_cast<uint64_t>(1000 * layers + d));
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, double mean,
                       double std) {
    folder.tensors["transformer." + name] = RandomTensor(std::move(shape), random, mean, std);
  };
  const auto linear = [&](const std::string& stem, int64_t in, int64_t out) {
    add(stem + ".weight", {in, out}, 0, 0.7 / std::sqrt(static_cast<double>(in)));
    if (bias) add(stem + ".bias", {out}, 0, 0.2);
  };
  const auto norm = [&](const std::string& stem) {
    add(stem + ".weight", {d}, 1, 0.2);
    if (bias) add(stem + ".bias", {d}, 0, 0.2);
  };
  add("wte.weight", {vocab, d}, 0, 0.2);
  add("wpe.weight", {context, d}, 0, 0.2);
  for (int64_t l = 0; l < layers; ++l) {
    const std::string h = "h." + std::to_string(l);
    norm(h + ".ln_1");
    linear(h + ".attn.c_attn", d, 3 * d);
    linear(h + ".attn.c_proj", d, d);
    norm(h + ".ln_2");
    linear(h + ".mlp.c_fc", d, 4 * d);
    linear(h + ".mlp.c_proj", 4 * d, d);
  }
  norm("ln_f");
  return folder;
}

ModelFolder RandomLlama(const LlamaSizes& s) {
  ModelFolder folder;
  folder.config_json = fmt::format(
      R"({{"model_type": "{}", "num_hidden_layers": {}, "num_attention_heads": {},
          "num_key_value_heads": {}, "head_dim": {}, "hidden_size": {}, "intermediate_size": {},
          "max_position_embeddings": {}, "vocab_size": {}, "rms_norm_eps": 1e-5,
          "rope_theta": 10000.0, "rope_scaling": {}, "tie_word_embeddings": {},
          "attention_bias": {}, "mlp_bias": {}}})",
      s.type, s.layers, s.heads, s.kv_heads, s.head_dim, s.d_model, s.d_ff, s.context, s.vocab,
      s.rope_scaling, s.tied, s.attention_bias, s.mlp_bias);
  Random random(static_cast<uint64_t>(7 * s.layers + s.d_model));
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, double mean,
                       double std) {
    folder.tensors[name] = RandomTensor(std::move(shape), random, mean, std);
  };
  const auto linear = [&](const std::string& stem, int64_t in, int64_t out, bool bias) {
    add(stem + ".weight", {out, in}, 0, 0.7 / std::sqrt(static_cast<double>(in)));
    if (bias) add(stem + ".bias", {out}, 0, 0.2);
  };
  add("model.embed_tokens.weight", {s.vocab, s.d_model}, 0, 0.3);
  for (int64_t l = 0; l < s.layers; ++l) {
    const std::string layer = "model.layers." + std::to_string(l);
    add(layer + ".input_layernorm.weight", {s.d_model}, 1, 0.2);
    const int64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
    const bool bias = s.attention_bias || s.type == "qwen2";
    linear(layer + ".self_attn.q_proj", s.d_model, q, bias);
    linear(layer + ".self_attn.k_proj", s.d_model, kv, bias);
    linear(layer + ".self_attn.v_proj", s.d_model, kv, bias);
    linear(layer + ".self_attn.o_proj", q, s.d_model, s.attention_bias);
    add(layer + ".post_attention_layernorm.weight", {s.d_model}, 1, 0.2);
    linear(layer + ".mlp.gate_proj", s.d_model, s.d_ff, s.mlp_bias);
    linear(layer + ".mlp.up_proj", s.d_model, s.d_ff, s.mlp_bias);
    linear(layer + ".mlp.down_proj", s.d_ff, s.d_model, s.mlp_bias);
  }
  add("model.norm.weight", {s.d_model}, 1, 0.2);
  if (!s.tied) linear("lm_head", s.d_model, s.vocab, false);
  return folder;
}

PlainResult PlainForward(const ModelFolder& folder, const std::vector<model::TokenId>& tokens) {
  return Plain(folder).Run(tokens);
}

}  // namespace longrun::serving
