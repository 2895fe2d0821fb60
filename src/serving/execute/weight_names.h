// What the families call their weights in the files, and how they are shaped: one list for all that
// load them. Names are without the family's prefix. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "serving/execute/model_config.h"

namespace longrun::serving {

// One product of the model; the files may hold it in parts, whose rows follow each other.
struct NamedLinear {
  struct Part {
    std::string stem;  // + ".weight", + ".bias"
    int64_t rows = 0;
  };
  std::vector<Part> parts;
  int64_t k = 0;
  bool bias = false;
};

struct NamedLayer {
  std::string attention_norm;  // stems
  NamedLinear qkv, out;
  std::string mlp_norm;
  NamedLinear up;  // Llama: gate and up
  NamedLinear down;
};

struct NamedEnds {
  std::string prefix;     // may stand before every name
  std::string tokens;     // [vocab_size, d_model]
  std::string positions;  // [context, d_model], or "": none
  std::string last_norm;  // stem
  std::string head;       // [vocab_size, d_model]; the tokens' where the head is tied
};

// GPT-2 keeps its matrices as [k, rows], Llama as [rows, k].
inline bool StoredTransposed(const ModelConfig& config) { return !config.llama(); }
NamedLayer LayerNames(const ModelConfig& config, int64_t layer);
NamedEnds EndNames(const ModelConfig& config);
// Ends of names that older files hold and nobody needs.
std::vector<std::string> NeedlessNames();

}  // namespace longrun::serving
