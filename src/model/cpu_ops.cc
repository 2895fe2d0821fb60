// Ops on the CPU: cpu_loops' rows spread over threads. Sums down the rows are taken in kParts fixed
// parts, added up in order, so that the number of threads does not change a bit of them.
#include <algorithm>
#include <vector>

#include "base/check.h"
#include "model/cpu_loops.h"
#include "model/tensor_ops.h"

namespace longrun::model {
namespace {

using loops::Bf16;

constexpr int64_t kParts = 32;

template <class T>
T* Data(const at::Tensor& t) {
  if (!t.defined()) return nullptr;
  LR_CHECK(t.is_contiguous());
  return static_cast<T*>(t.data_ptr());
}

loops::DropoutPlan PlanOf(const Dropout& dropout) {
  return {.seed = dropout.seed,
          .threshold = static_cast<uint32_t>(dropout.rate * (1 << 24)),
          .scale = static_cast<float>(1 / (1 - dropout.rate))};
}

// Calls f(T{}) with the element type of `storage`.
template <class F>
void WithType(const at::Tensor& storage, const F& f) {
  if (storage.scalar_type() == at::kBFloat16) {
    f(Bf16{});
  } else {
    LR_CHECK(storage.scalar_type() == at::kFloat);
    f(0.0f);
  }
}

template <class F>
void OverRows(int64_t rows, const F& f) {
  at::parallel_for(0, rows, 16, f);
}

// Rows in kParts ranges, each with its own `sums` columns of zeros: f(begin, end, float* sums).
class PartialSums {
 public:
  PartialSums(int64_t rows, int64_t columns)
      : rows_(rows), columns_(columns), sums_(static_cast<size_t>(kParts * columns)) {}

  template <class F>
  void Run(const F& f) {
    const int64_t step = (rows_ + kParts - 1) / kParts;
    at::parallel_for(0, kParts, 1, [&](int64_t first, int64_t last) {
      for (int64_t part = first; part < last; ++part) {
        const int64_t begin = std::min(part * step, rows_);
        f(begin, std::min(begin + step, rows_), sums_.data() + part * columns_);
      }
    });
  }

  // to[i] = or += the sum of column from + i.
  void Write(int64_t from, const at::Tensor& to, bool accumulate) const {
    if (!to.defined()) return;
    float* out = Data<float>(to);
    const int64_t n = to.numel();
    if (!accumulate) std::fill(out, out + n, 0.0f);
    for (int64_t part = 0; part < kParts; ++part) {
      const float* sums = sums_.data() + part * columns_ + from;
      for (int64_t i = 0; i < n; ++i) out[i] += sums[i];
    }
  }

 private:
  int64_t rows_, columns_;
  std::vector<float> sums_;
};

class CpuOps : public TensorOps {
 public:
  void MultiplyGradient(const at::Tensor& a, const at::Tensor& b, at::Tensor gradient,
                        bool accumulate, at::Tensor scratch) override {
    if (a.scalar_type() == at::kFloat) {
      return TensorOps::MultiplyGradient(a, b, gradient, accumulate, scratch);
    }
    at::Tensor product = scratch.narrow(0, 0, gradient.numel()).view(gradient.sizes());
    at::mm_out(product, a, b);
    const Bf16* from = Data<Bf16>(product);
    float* to = Data<float>(gradient);
    at::parallel_for(0, gradient.numel(), 1 << 14, [&](int64_t begin, int64_t end) {
      loops::BestTable<Bf16>().add_to(from + begin, to + begin, end - begin, accumulate);
    });
  }

  void Embed(const at::Tensor& tokens, const at::Tensor& wte, const at::Tensor& wpe,
             const Dropout& dropout, at::Tensor x) override {
    if (dropout.rate > 0) return TensorOps::Embed(tokens, wte, wpe, dropout, x);
    const int64_t t = tokens.size(1), c = wte.size(1);
    const int64_t* token = Data<int64_t>(tokens);
    const float *te = Data<float>(wte), *pe = Data<float>(wpe);
    float* out = Data<float>(x);
    OverRows(x.size(0), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float *a = te + token[r] * c, *b = pe + r % t * c;
        for (int64_t i = 0; i < c; ++i) out[r * c + i] = a[i] + b[i];
      }
    });
  }

  // Each thread takes some columns of all rows, in order: no two add to the same place.
  void EmbedBackward(const at::Tensor& tokens, const Dropout& dropout, at::Tensor dx,
                     at::Tensor dwte, at::Tensor dwpe, bool accumulate) override {
    const int64_t t = tokens.size(1), c = dwte.size(1);
    if (dropout.rate > 0) dx.mul_(DropoutMask(dropout, dx.size(0), c, dx.device()));
    if (!accumulate) dwpe.zero_();
    const int64_t* token = Data<int64_t>(tokens);
    const float* d = Data<float>(dx);
    float *te = Data<float>(dwte), *pe = Data<float>(dwpe);
    at::parallel_for(0, c, 32, [&](int64_t begin, int64_t end) {
      for (int64_t r = 0; r < dx.size(0); ++r) {
        const float* from = d + r * c;
        float *a = te + token[r] * c, *b = pe + r % t * c;
        for (int64_t i = begin; i < end; ++i) {
          a[i] += from[i];
          b[i] += from[i];
        }
      }
    });
  }

  void AddNorm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& bias,
               const Dropout& dropout, const at::Tensor& gamma, const at::Tensor& beta,
               double epsilon, at::Tensor x_out, NormOutput& out) override {
    WithType(out.y, [&]<class T>(T) {
      const loops::NormForward<T> args{.x = Data<float>(x),
                                       .delta = Data<T>(delta),
                                       .bias = Data<float>(bias),
                                       .dropout = PlanOf(dropout),
                                       .gamma = Data<float>(gamma),
                                       .beta = Data<float>(beta),
                                       .epsilon = static_cast<float>(epsilon),
                                       .x_out = Data<float>(x_out),
                                       .y = Data<T>(out.y),
                                       .mean = Data<float>(out.mean),
                                       .rstd = Data<float>(out.rstd),
                                       .width = x.size(1)};
      OverRows(x.size(0),
               [&](int64_t begin, int64_t end) { loops::BestTable<T>().norm(args, begin, end); });
    });
  }

  void NormBackward(const at::Tensor& dy, const at::Tensor& x, const NormOutput& norm,
                    const at::Tensor& gamma, const Dropout& dropout, bool first, at::Tensor dx,
                    at::Tensor branch, NormGradients gradients) override {
    const int64_t c = x.size(1);
    PartialSums sums(x.size(0), 3 * c);
    WithType(dy, [&]<class T>(T) {
      const loops::NormBackward<T> args{.dy = Data<T>(dy),
                                        .x = Data<float>(x),
                                        .mean = Data<float>(norm.mean),
                                        .rstd = Data<float>(norm.rstd),
                                        .gamma = Data<float>(gamma),
                                        .dropout = PlanOf(dropout),
                                        .first = first,
                                        .dx = Data<float>(dx),
                                        .branch = Data<T>(branch),
                                        .width = c};
      sums.Run([&](int64_t begin, int64_t end, float* part) {
        loops::BestTable<T>().norm_backward(
            args, begin, end, part, gradients.beta.defined() ? part + c : nullptr,
            gradients.branch_bias.defined() ? part + 2 * c : nullptr);
      });
    });
    sums.Write(0, gradients.gamma, gradients.accumulate);
    sums.Write(c, gradients.beta, gradients.accumulate);
    sums.Write(2 * c, gradients.branch_bias, gradients.accumulate);
  }

  void Gelu(at::Tensor pre, const at::Tensor& bias, at::Tensor out) override {
    WithType(pre, [&]<class T>(T) {
      OverRows(pre.size(0), [&](int64_t begin, int64_t end) {
        loops::BestTable<T>().gelu(Data<T>(pre), Data<float>(bias), Data<T>(out), pre.size(1),
                                   begin, end);
      });
    });
  }

  void GeluBackward(const at::Tensor& pre, at::Tensor d, BiasGradient gradient) override {
    PartialSums sums(pre.size(0), pre.size(1));
    WithType(pre, [&]<class T>(T) {
      sums.Run([&](int64_t begin, int64_t end, float* part) {
        loops::BestTable<T>().gelu_backward(Data<T>(pre), Data<T>(d), pre.size(1), begin, end,
                                            gradient.bias.defined() ? part : nullptr);
      });
    });
    sums.Write(0, gradient.bias, gradient.accumulate);
  }

  void Attention(const at::Tensor& qkv, const at::Tensor& bias, int64_t batch, int64_t heads,
                 const Dropout& dropout, at::Tensor out, at::Tensor lse) override {
    WithType(qkv, [&]<class T>(T) {
      loops::Attention<T> args = AttentionArgs<T>(qkv, bias, batch, heads, dropout, out, lse);
      EachHead(args, loops::BestTable<T>().attention);
    });
  }

  void AttentionBackward(const at::Tensor& qkv, const at::Tensor& bias, int64_t batch,
                         int64_t heads, const Dropout& dropout, const at::Tensor& out,
                         const at::Tensor& lse, const at::Tensor& dout, at::Tensor dqkv,
                         BiasGradient gradient) override {
    WithType(qkv, [&]<class T>(T) {
      loops::Attention<T> args = AttentionArgs<T>(qkv, bias, batch, heads, dropout, out, lse);
      args.dout = Data<T>(dout);
      args.dqkv = Data<T>(dqkv);
      EachHead(args, loops::BestTable<T>().attention_backward);
      if (!gradient.bias.defined()) return;
      PartialSums sums(qkv.size(0), qkv.size(1));
      sums.Run([&](int64_t begin, int64_t end, float* part) {
        loops::BestTable<T>().column_sums(args.dqkv, qkv.size(1), begin, end, part);
      });
      sums.Write(0, gradient.bias, gradient.accumulate);
    });
  }

  void CrossEntropy(at::Tensor logits, const at::Tensor& targets, bool gradient, double scale,
                    at::Tensor losses) override {
    WithType(logits, [&]<class T>(T) {
      OverRows(logits.size(0), [&](int64_t begin, int64_t end) {
        loops::BestTable<T>().cross_entropy(Data<T>(logits), Data<int64_t>(targets), logits.size(1),
                                            gradient, static_cast<float>(scale),
                                            Data<float>(losses), begin, end);
      });
    });
  }

  void Cast(const at::Tensor& from, at::Tensor to) override {
    const float* source = Data<float>(from);
    WithType(to, [&]<class T>(T) {
      T* target = Data<T>(to);
      at::parallel_for(0, from.numel(), 1 << 14, [&](int64_t begin, int64_t end) {
        loops::BestTable<T>().cast(source + begin, target + begin, end - begin);
      });
    });
  }

 private:
  template <class T>
  static loops::Attention<T> AttentionArgs(const at::Tensor& qkv, const at::Tensor& bias,
                                           int64_t batch, int64_t heads, const Dropout& dropout,
                                           const at::Tensor& out, const at::Tensor& lse) {
    return {.qkv = Data<T>(qkv),
            .bias = Data<float>(bias),
            .batch = batch,
            .length = qkv.size(0) / batch,
            .heads = heads,
            .dim = qkv.size(1) / 3 / heads,
            .dropout = PlanOf(dropout),
            .out = Data<T>(out),
            .lse = Data<float>(lse),
            .dout = nullptr,
            .dqkv = nullptr};
  }

  template <class T>
  static void EachHead(const loops::Attention<T>& args,
                       void (*head)(const loops::Attention<T>&, int64_t, int64_t, float*)) {
    const int64_t scratch = loops::BestTable<T>().attention_scratch(args.length, args.dim);
    at::parallel_for(0, args.batch * args.heads, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> buffer(static_cast<size_t>(scratch));
      for (int64_t i = begin; i < end; ++i) {
        head(args, i / args.heads, i % args.heads, buffer.data());
      }
    });
  }
};

}  // namespace

std::unique_ptr<Ops> MakeCpuOps() { return std::make_unique<CpuOps>(); }

}  // namespace longrun::model
