#include "model/tensor_ops.h"

#include <cmath>
#include <limits>

#include "base/check.h"

namespace longrun::model {
namespace {

constexpr int64_t kLow32 = 0xffffffff;

// cpu_math.h's Hash, on the low 32 bits of int64 tensors.
at::Tensor Hash(at::Tensor x) {
  const auto fold = [](const at::Tensor& t, int64_t bits) { return t ^ t.__rshift__(bits); };
  x = fold(x, 16) * int64_t{0x85ebca6b} & kLow32;
  x = fold(x, 13) * int64_t{0xc2b2ae35} & kLow32;
  return fold(x, 16);
}

void Put(at::Tensor to, const at::Tensor& from, bool accumulate) {
  if (accumulate) {
    to.add_(from);
  } else {
    to.copy_(from);
  }
}

void PutColumnSums(const at::Tensor& x, at::Tensor to, bool accumulate) {
  if (to.defined()) Put(to, x.to(at::kFloat).sum(0), accumulate);
}

// [N, 3C] to q, k, v of [B, heads, T, dim], f32; q scaled by 1 / sqrt(dim).
struct Heads {
  at::Tensor q, k, v;
};

Heads Split(const at::Tensor& qkv, const at::Tensor& bias, int64_t batch, int64_t heads) {
  at::Tensor x = qkv.to(at::kFloat);
  if (bias.defined()) x = x + bias;
  const int64_t dim = qkv.size(1) / 3 / heads;
  x = x.view({batch, qkv.size(0) / batch, 3, heads, dim}).permute({2, 0, 3, 1, 4});
  return {x[0] / std::sqrt(static_cast<double>(dim)), x[1], x[2]};
}

// [B, heads, T, dim] to [N, C].
at::Tensor Join(const at::Tensor& x) {
  return x.transpose(1, 2).reshape({x.size(0) * x.size(2), x.size(1) * x.size(3)});
}

at::Tensor CausalScores(const Heads& h) {
  const int64_t t = h.q.size(2);
  const at::Tensor later =
      at::ones({t, t}, h.q.options().dtype(at::kBool)).triu(1);  // [query, key]
  return at::matmul(h.q, h.k.transpose(-2, -1))
      .masked_fill(later, -std::numeric_limits<double>::infinity());
}

at::Tensor ScoreMask(const Dropout& dropout, const at::Tensor& scores) {
  return DropoutMask(dropout, scores.numel() / scores.size(3), scores.size(3), scores.device())
      .view(scores.sizes());
}

}  // namespace

at::Tensor DropoutMask(const Dropout& dropout, int64_t rows, int64_t columns, at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(device);
  const int64_t seed = dropout.seed;
  const int64_t golden = 0x9e3779b1;
  const at::Tensor row_seeds =
      Hash((at::arange(rows, options) * golden + seed) & kLow32) ^ seed;  // [rows]
  const at::Tensor hashes =
      Hash((row_seeds.unsqueeze(1) + at::arange(columns, options) * golden) & kLow32);
  const auto threshold = static_cast<int64_t>(dropout.rate * (1 << 24));
  return hashes.__rshift__(8).ge(threshold).to(at::kFloat) * (1 / (1 - dropout.rate));
}

void TensorOps::Multiply(const at::Tensor& a, const at::Tensor& b, at::Tensor out) {
  at::mm_out(out, a, b);
}

void TensorOps::MultiplyGradient(const at::Tensor& a, const at::Tensor& b, at::Tensor gradient,
                                 bool accumulate, at::Tensor scratch) {
  if (a.scalar_type() == at::kFloat) {
    if (accumulate) {
      gradient.addmm_(a, b);
    } else {
      at::mm_out(gradient, a, b);
    }
    return;
  }
  at::Tensor product = scratch.narrow(0, 0, gradient.numel()).view(gradient.sizes());
  at::mm_out(product, a, b);
  Put(gradient, product, accumulate);
}

void TensorOps::Embed(const at::Tensor& tokens, const at::Tensor& wte, const at::Tensor& wpe,
                      const Dropout& dropout, at::Tensor x) {
  const int64_t b = tokens.size(0), t = tokens.size(1), c = wte.size(1);
  at::Tensor sum = wte.index_select(0, tokens.reshape({-1})).view({b, t, c}) + wpe.narrow(0, 0, t);
  sum = sum.view({b * t, c});
  if (dropout.rate > 0) sum = sum * DropoutMask(dropout, b * t, c, x.device());
  x.copy_(sum);
}

void TensorOps::EmbedBackward(const at::Tensor& tokens, const Dropout& dropout, at::Tensor dx,
                              at::Tensor dwte, at::Tensor dwpe, bool accumulate) {
  const int64_t b = tokens.size(0), t = tokens.size(1), c = dwte.size(1);
  if (dropout.rate > 0) dx.mul_(DropoutMask(dropout, b * t, c, dx.device()));
  // A product with one-hot rows and not index_add_: its order of summation is fixed on CUDA too.
  const int64_t v = dwte.size(0);
  const at::Tensor hot =
      tokens.reshape({1, -1}).eq(at::arange(v, tokens.options()).unsqueeze(1));  // [V, N]
  dwte.addmm_(hot.to(at::kFloat), dx);
  if (!accumulate) dwpe.zero_();
  dwpe.narrow(0, 0, t).add_(dx.view({b, t, c}).sum(0));
}

void TensorOps::AddNorm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& bias,
                        const Dropout& dropout, const at::Tensor& gamma, const at::Tensor& beta,
                        double epsilon, at::Tensor x_out, NormOutput& out) {
  at::Tensor sum = x;
  if (delta.defined()) {
    at::Tensor d = delta.to(at::kFloat);
    if (bias.defined()) d = d + bias;
    if (dropout.rate > 0) d = d * DropoutMask(dropout, x.size(0), x.size(1), x.device());
    at::add_out(x_out, x, d);
    sum = x_out;
  }
  const auto [y, mean, rstd] = at::native_layer_norm(sum, {x.size(1)}, gamma, beta, epsilon);
  out.y.copy_(y);
  out.mean.copy_(mean.view_as(out.mean));
  out.rstd.copy_(rstd.view_as(out.rstd));
}

void TensorOps::NormBackward(const at::Tensor& dy, const at::Tensor& x, const NormOutput& norm,
                             const at::Tensor& gamma, const Dropout& dropout, bool first,
                             at::Tensor dx, at::Tensor branch, NormGradients gradients) {
  const at::Tensor d = dy.to(at::kFloat);
  const at::Tensor hat = (x - norm.mean.unsqueeze(1)) * norm.rstd.unsqueeze(1);
  const at::Tensor g = d * gamma;
  const at::Tensor grad =
      (g - g.mean(1, true) - hat * (g * hat).mean(1, true)) * norm.rstd.unsqueeze(1);
  Put(dx, grad, !first);
  PutColumnSums(d * hat, gradients.gamma, gradients.accumulate);
  PutColumnSums(d, gradients.beta, gradients.accumulate);
  if (!branch.defined()) return;
  const at::Tensor kept =
      dropout.rate > 0 ? dx * DropoutMask(dropout, x.size(0), x.size(1), x.device()) : dx;
  branch.copy_(kept);
  PutColumnSums(kept, gradients.branch_bias, gradients.accumulate);
}

void TensorOps::Gelu(at::Tensor pre, const at::Tensor& bias, at::Tensor out) {
  if (bias.defined()) pre.copy_(pre.to(at::kFloat) + bias);
  out.copy_(at::gelu(pre.to(at::kFloat), "tanh"));
}

void TensorOps::GeluBackward(const at::Tensor& pre, at::Tensor d, BiasGradient gradient) {
  d.copy_(at::gelu_backward(d.to(at::kFloat), pre.to(at::kFloat), "tanh"));
  PutColumnSums(d, gradient.bias, gradient.accumulate);
}

void TensorOps::Attention(const at::Tensor& qkv, const at::Tensor& bias, int64_t batch,
                          int64_t heads, const Dropout& dropout, at::Tensor out, at::Tensor lse) {
  const Heads h = Split(qkv, bias, batch, heads);
  const at::Tensor scores = CausalScores(h);
  at::Tensor p = at::softmax(scores, -1);
  if (lse.defined()) lse.copy_(at::logsumexp(scores, {-1}));
  if (dropout.rate > 0) p = p * ScoreMask(dropout, p);
  out.copy_(Join(at::matmul(p, h.v)));
}

void TensorOps::AttentionBackward(const at::Tensor& qkv, const at::Tensor& bias, int64_t batch,
                                  int64_t heads, const Dropout& dropout, const at::Tensor& out,
                                  const at::Tensor& lse, const at::Tensor& dout, at::Tensor dqkv,
                                  BiasGradient gradient) {
  const Heads h = Split(qkv, bias, batch, heads);
  const int64_t t = h.q.size(2), dim = h.q.size(3);
  const auto split = [&](const at::Tensor& x) {
    return x.to(at::kFloat).view({batch, t, heads, dim}).transpose(1, 2);
  };
  const at::Tensor p = (CausalScores(h) - lse.unsqueeze(3)).exp();
  const at::Tensor d_out = split(dout);
  at::Tensor dp = at::matmul(d_out, h.v.transpose(-2, -1));
  at::Tensor dropped = p;
  if (dropout.rate > 0) {
    const at::Tensor mask = ScoreMask(dropout, p);
    dp = dp * mask;
    dropped = p * mask;
  }
  const at::Tensor ds = p * (dp - (d_out * split(out)).sum(-1, true));
  const at::Tensor dq = at::matmul(ds, h.k) / std::sqrt(static_cast<double>(dim));
  const at::Tensor dk = at::matmul(ds.transpose(-2, -1), h.q);
  const at::Tensor dv = at::matmul(dropped.transpose(-2, -1), d_out);
  dqkv.copy_(at::cat({Join(dq), Join(dk), Join(dv)}, 1));
  PutColumnSums(dqkv, gradient.bias, gradient.accumulate);
}

void TensorOps::CrossEntropy(at::Tensor logits, const at::Tensor& targets, bool gradient,
                             double scale, at::Tensor losses) {
  const at::Tensor log_p = at::log_softmax(logits.to(at::kFloat), 1);
  const at::Tensor at_target = targets.view({-1, 1});
  losses.copy_(log_p.gather(1, at_target).view({-1}).neg());
  if (!gradient) return;
  const at::Tensor d = log_p.exp();
  d.scatter_add_(1, at_target, at::full({d.size(0), 1}, -1.0, d.options()));
  logits.copy_(d * scale);
}

void TensorOps::Cast(const at::Tensor& from, at::Tensor to) { to.copy_(from); }

std::unique_ptr<Ops> MakeTensorOps() { return std::make_unique<TensorOps>(); }

}  // namespace longrun::model
