#include "serving/execute/weight_names.h"

namespace longrun::serving {
namespace {

NamedLayer Gpt2Layer(const ModelConfig& c, const std::string& h) {
  const int64_t d = c.d_model;
  const bool bias = c.attention_bias;
  return {.attention_norm = h + ".ln_1",
          .qkv = {{{h + ".attn.c_attn", 3 * d}}, d, bias},
          .out = {{{h + ".attn.c_proj", d}}, d, c.output_bias},
          .mlp_norm = h + ".ln_2",
          .up = {{{h + ".mlp.c_fc", c.d_ff}}, d, bias},
          .down = {{{h + ".mlp.c_proj", d}}, c.d_ff, bias}};
}

NamedLayer LlamaLayer(const ModelConfig& c, const std::string& l) {
  const int64_t d = c.d_model, q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const std::string attention = l + ".self_attn.", mlp = l + ".mlp.";
  return {
      .attention_norm = l + ".input_layernorm",
      .qkv = {{{attention + "q_proj", q}, {attention + "k_proj", kv}, {attention + "v_proj", kv}},
              d,
              c.attention_bias},
      .out = {{{attention + "o_proj", d}}, q, c.output_bias},
      .mlp_norm = l + ".post_attention_layernorm",
      .up = {{{mlp + "gate_proj", c.d_ff}, {mlp + "up_proj", c.d_ff}}, d, c.mlp_bias},
      .down = {{{mlp + "down_proj", d}}, c.d_ff, c.mlp_bias}};
}

}  // namespace

NamedLayer LayerNames(const ModelConfig& config, int64_t layer) {
  return config.llama() ? LlamaLayer(config, "layers." + std::to_string(layer))
                        : Gpt2Layer(config, "h." + std::to_string(layer));
}

NamedEnds EndNames(const ModelConfig& config) {
  NamedEnds ends =
      config.llama()
          ? NamedEnds{.prefix = "model.", .tokens = "embed_tokens.weight", .last_norm = "norm"}
          : NamedEnds{.prefix = "transformer.",
                      .tokens = "wte.weight",
                      .positions = "wpe.weight",
                      .last_norm = "ln_f"};
  ends.head = config.tied_head ? ends.tokens : "lm_head.weight";
  return ends;
}

std::vector<std::string> NeedlessNames() {
  return {".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"};
}

}  // namespace longrun::serving
