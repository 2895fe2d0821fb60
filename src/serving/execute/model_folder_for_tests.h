// Small models with random weights as Hugging Face folders, and their logits by the plainest loops
// there are: f32 weights, doubles for sums, no cache, no blocks, no batch.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/safetensors.h"
#include "model/tokenizer.h"
#include "serving/execute/model_config.h"

namespace longrun::serving {

struct FolderTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

struct ModelFolder {
  std::string config_json;
  std::map<std::string, FolderTensor> tensors;  // with the family's prefix

  // Writes config.json and model.safetensors; values rounded to `dtype` (F32, BF16 or F16).
  void Write(const std::string& folder, model::DType dtype = model::DType::kF32) const;
  ModelConfig config() const;
};

ModelFolder RandomGpt2(int64_t layers, int64_t heads, int64_t d_model, int64_t context,
                       int64_t vocab, bool bias = true);
struct LlamaSizes {
  int64_t layers = 2, heads = 4, kv_heads = 2, head_dim = 16, d_model = 48, d_ff = 104;
  int64_t context = 256, vocab = 131;
  std::string type = "llama";  // "qwen2": with biases of queries, keys and values alone
  bool tied = false, attention_bias = false, mlp_bias = false;
  std::string rope_scaling = "null";
};
ModelFolder RandomLlama(const LlamaSizes& sizes);

// Logits [tokens, vocab] and normed last states [tokens, d_model] of one sequence.
struct PlainResult {
  std::vector<float> logits;
  std::vector<float> states;
};
PlainResult PlainForward(const ModelFolder& folder, const std::vector<model::TokenId>& tokens);

}  // namespace longrun::serving
