// What config.json of a Hugging Face folder says of a GPT-2 or Llama model, and the frequencies of
// its rotary positions. Mistral and Qwen2 are Llama here: what differs are biases, and a window of
// attention, which bounds the context instead. Pure functions of any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "serving/execute/executor.h"

namespace longrun::serving {

// Rotary positions (Su et al. 2021): pair i of a head turns by position · frequencies[i].
struct Rotation {
  std::vector<float> frequencies;  // [head_dim / 2]; empty: learned positions
  float magnitude = 1;             // times cosine and sine (YaRN's temperature)
};

struct ModelConfig {
  std::string family;  // "gpt2" or "llama"
  int64_t layers = 0;
  int64_t d_model = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t d_ff = 0;
  int64_t vocab_size = 0;
  int64_t context = 0;    // tokens of the longest sequence
  int64_t positions = 0;  // rows of GPT-2's table of positions
  double norm_epsilon = 0;
  bool attention_bias = false;  // of queries, keys and values
  bool output_bias = false;     // of what attention gives
  bool mlp_bias = false;
  bool tied_head = false;
  Rotation rotation;

  bool llama() const { return family == "llama"; }
};

// Reads `folder`/config.json. InvalidArgument names the file, the field and what would be right;
// a variant that is not computed here is refused rather than served wrongly. `context`: tokens of
// the longest sequence that is wanted; 0: the model's own.
absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& folder, int64_t context = 0);
// The same from the file's text; `name` is how messages call it.
absl::StatusOr<ModelConfig> ParseModelConfig(const std::string& text, const std::string& name);

// What the scheduler needs to know; how many weights there are and what they take is left at 0.
ModelShape ShapeOf(const ModelConfig& config);

}  // namespace longrun::serving
