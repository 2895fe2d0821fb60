// What a GPT step is made of, beyond plain tensor algebra. Two implementations: TensorOps (any
// device, ATen operations) and CpuOps (fused loops). Shapes: B sequences of T tokens, N = B·T rows,
// C = d_model, O outputs. "storage" is f32 or bf16, the precision of matrix products; everything
// else is f32. Outputs are allocated by the caller and written in place.
#pragma once

#include <cstdint>
#include <memory>

#include <torch/torch.h>

namespace longrun::model {

// Which elements fall out is a function of (seed, row, column): the same on every device.
struct Dropout {
  uint32_t seed = 0;
  double rate = 0;
};

struct NormOutput {
  at::Tensor y;           // [N, C] storage
  at::Tensor mean, rstd;  // [N]
};

// Gradients of biases and norms are views into the flat gradient buffer; undefined: not wanted.
struct NormGradients {
  at::Tensor gamma, beta;  // [C]
  at::Tensor branch_bias;  // [C]
  bool accumulate = false;
};

struct BiasGradient {
  at::Tensor bias;
  bool accumulate = false;
};

class Ops {
 public:
  virtual ~Ops() = default;

  // out = a·b; [m, k]·[k, n], storage. Either may be a transposed view.
  virtual void Multiply(const at::Tensor& a, const at::Tensor& b, at::Tensor out) = 0;
  // gradient (f32) = or += a·b. `scratch`: storage, at least as many elements as `gradient`.
  virtual void MultiplyGradient(const at::Tensor& a, const at::Tensor& b, at::Tensor gradient,
                                bool accumulate, at::Tensor scratch) = 0;

  // x = dropout(wte[token] + wpe[position]); tokens [B, T] int64, x [N, C].
  virtual void Embed(const at::Tensor& tokens, const at::Tensor& wte, const at::Tensor& wpe,
                     const Dropout& dropout, at::Tensor x) = 0;
  // dwte += …; dwpe = or += …. `dx` is used up.
  virtual void EmbedBackward(const at::Tensor& tokens, const Dropout& dropout, at::Tensor dx,
                             at::Tensor dwte, at::Tensor dwpe, bool accumulate) = 0;

  // x_out = x + dropout(delta + bias); y = layer norm of x_out. An undefined delta: of x.
  virtual void AddNorm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& bias,
                       const Dropout& dropout, const at::Tensor& gamma, const at::Tensor& beta,
                       double epsilon, at::Tensor x_out, NormOutput& out) = 0;
  // dx = (first ? 0 : dx) + the norm's gradient; branch = dropout'(dx), where defined.
  virtual void NormBackward(const at::Tensor& dy, const at::Tensor& x, const NormOutput& norm,
                            const at::Tensor& gamma, const Dropout& dropout, bool first,
                            at::Tensor dx, at::Tensor branch, NormGradients gradients) = 0;

  // pre += bias (undefined: none); out = gelu(pre), tanh form. [N, O] storage.
  virtual void Gelu(at::Tensor pre, const at::Tensor& bias, at::Tensor out) = 0;
  // d = d·gelu'(pre); bias gradient: its column sums.
  virtual void GeluBackward(const at::Tensor& pre, at::Tensor d, BiasGradient gradient) = 0;

  // Causal self-attention of qkv [N, 3C] (+ bias [3C]); out [N, C], lse [B, heads, T] for backward.
  virtual void Attention(const at::Tensor& qkv, const at::Tensor& bias, int64_t batch,
                         int64_t heads, const Dropout& dropout, at::Tensor out, at::Tensor lse) = 0;
  virtual void AttentionBackward(const at::Tensor& qkv, const at::Tensor& bias, int64_t batch,
                                 int64_t heads, const Dropout& dropout, const at::Tensor& out,
                                 const at::Tensor& lse, const at::Tensor& dout, at::Tensor dqkv,
                                 BiasGradient gradient) = 0;

  // losses [N] of logits [N, V] against targets [N] int64. With `gradient` the logits become the
  // gradient of scale · sum(losses).
  virtual void CrossEntropy(at::Tensor logits, const at::Tensor& targets, bool gradient,
                            double scale, at::Tensor losses) = 0;

  // storage copy of an f32 tensor.
  virtual void Cast(const at::Tensor& from, at::Tensor to) = 0;
};

std::unique_ptr<Ops> MakeTensorOps();
std::unique_ptr<Ops> MakeCpuOps();

}  // namespace longrun::model
