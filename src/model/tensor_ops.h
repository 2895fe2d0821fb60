// Ops through ATen operations: any device. CpuOps replaces what is worth a loop of its own.
#pragma once

#include "model/ops.h"

namespace longrun::model {

class TensorOps : public Ops {
 public:
  void Multiply(const at::Tensor& a, const at::Tensor& b, at::Tensor out) override;
  void MultiplyGradient(const at::Tensor& a, const at::Tensor& b, at::Tensor gradient,
                        bool accumulate, at::Tensor scratch) override;
  void Embed(const at::Tensor& tokens, const at::Tensor& wte, const at::Tensor& wpe,
             const Dropout& dropout, at::Tensor x) override;
  void EmbedBackward(const at::Tensor& tokens, const Dropout& dropout, at::Tensor dx,
                     at::Tensor dwte, at::Tensor dwpe, bool accumulate) override;
  void AddNorm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& bias,
               const Dropout& dropout, const at::Tensor& gamma, const at::Tensor& beta,
               double epsilon, at::Tensor x_out, NormOutput& out) override;
  void NormBackward(const at::Tensor& dy, const at::Tensor& x, const NormOutput& norm,
                    const at::Tensor& gamma, const Dropout& dropout, bool first, at::Tensor dx,
                    at::Tensor branch, NormGradients gradients) override;
  void Gelu(at::Tensor pre, const at::Tensor& bias, at::Tensor out) override;
  void GeluBackward(const at::Tensor& pre, at::Tensor d, BiasGradient gradient) override;
  void Attention(const at::Tensor& qkv, const at::Tensor& bias, int64_t batch, int64_t heads,
                 const Dropout& dropout, at::Tensor out, at::Tensor lse) override;
  void AttentionBackward(const at::Tensor& qkv, const at::Tensor& bias, int64_t batch,
                         int64_t heads, const Dropout& dropout, const at::Tensor& out,
                         const at::Tensor& lse, const at::Tensor& dout, at::Tensor dqkv,
                         BiasGradient gradient) override;
  void CrossEntropy(at::Tensor logits, const at::Tensor& targets, bool gradient, double scale,
                    at::Tensor losses) override;
  void Cast(const at::Tensor& from, at::Tensor to) override;
};

// What each element of `rows` × `columns` is multiplied by under `dropout`: f32 [rows, columns].
at::Tensor DropoutMask(const Dropout& dropout, int64_t rows, int64_t columns, at::Device device);

}  // namespace longrun::model
