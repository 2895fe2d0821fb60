// What a Gpt keeps between steps: its parameters as the layers see them, and the buffers of the
// forward and backward pass. Part of gpt.cc and gpt_step.cc; nobody else includes it.
#pragma once

#include <vector>

#include "model/gpt.h"

namespace longrun::model {

struct Gpt::Weights {
  struct Norm {
    at::Tensor gamma, beta, dgamma, dbeta;  // [C] f32; beta undefined without biases
  };
  struct Linear {
    at::Tensor weight;       // [in, out] storage
    at::Tensor dweight;      // [in, out] f32
    at::Tensor bias, dbias;  // [out] f32, undefined without biases
  };
  struct Layer {
    Norm norm1, norm2;
    Linear qkv, out, up, down;
    int64_t begin, end;  // in the flat buffers
  };

  at::Tensor half;                  // [flat size] bf16, of precision kBf16
  at::Tensor wte, wpe, dwte, dwpe;  // f32
  at::Tensor head;                  // wte in storage
  std::vector<Layer> layers;
  Norm final_norm;
  int64_t final_norm_begin;

  // Binds the views anew; `refresh`: also takes the bf16 copy of the parameters.
  void Bind(const GptConfig& config, FlatParameters& flat, Precision precision, Ops& ops,
            bool refresh);
};

struct Gpt::Activations {
  struct Layer {
    at::Tensor x1, x2;        // [N, C] f32: the residual stream after attention, after the MLP
    NormOutput norm1, norm2;  // y [N, C] storage
    at::Tensor qkv;           // [N, 3C] storage
    at::Tensor lse;           // [B, heads, T]
    at::Tensor attention;     // [N, C] storage
    at::Tensor pre, act;      // [N, 4C] storage: before and after GELU
  };
  at::Tensor x0;  // [N, C] f32: the embeddings
  std::vector<Layer> layers;
  NormOutput final_norm;
  at::Tensor branch;  // [N, C] storage: what a sublayer adds, before its bias
  at::Tensor logits;  // [N, V] storage
  at::Tensor losses;  // [N]

  // Backward pass alone.
  at::Tensor dx;                          // [N, C] f32
  at::Tensor dbranch, dnorm, dattention;  // [N, C] storage
  at::Tensor dqkv;                        // [N, 3C] storage
  at::Tensor dact;                        // [N, 4C] storage
  at::Tensor scratch;                     // storage, as large as the largest matrix

  // Makes all buffers of the right shape; allocates only to grow or to change precision.
  void Shape(const GptConfig& config, at::Device device, at::ScalarType storage, int64_t batch,
             int64_t length, bool training);
};

}  // namespace longrun::model
