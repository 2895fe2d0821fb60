// Compiled once per instruction set, with LR_LOOPS naming the set. Inline functions of the standard
// library must not be used here: the linker keeps one copy of each, and could keep the one that the
// machine cannot run.
#include "model/cpu_loops.h"

#include <type_traits>

#include "model/cpu_math.h"
#ifdef __AVX512BF16__
#include "model/cpu_attention_bf16.h"
#endif

namespace longrun::model::loops {
namespace {

template <class T>
void Norm(const NormForward<T>& a, int64_t begin, int64_t end) {
  const int64_t w = a.width;
  for (int64_t r = begin; r < end; ++r) {
    const float* x = a.x + r * w;
    if (a.delta != nullptr) {
      const T* delta = a.delta + r * w;
      float* out = a.x_out + r * w;
      const uint32_t row_seed = RowSeed(a.dropout.seed, r);
      if (a.dropout.threshold != 0) {
        for (int64_t i = 0; i < w; ++i) {
          const float d = Load(delta[i]) + (a.bias != nullptr ? a.bias[i] : 0.0f);
          out[i] = x[i] + d * Keep(a.dropout, row_seed, i);
        }
      } else if (a.bias != nullptr) {
        for (int64_t i = 0; i < w; ++i) out[i] = x[i] + (Load(delta[i]) + a.bias[i]);
      } else {
        for (int64_t i = 0; i < w; ++i) out[i] = x[i] + Load(delta[i]);
      }
      x = out;
    }
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < w; ++i) sum += x[i];
    const float mean = sum / static_cast<float>(w);
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < w; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const float rstd = 1.0f / __builtin_sqrtf(squares / static_cast<float>(w) + a.epsilon);
    T* y = a.y + r * w;
    if (a.beta != nullptr) {
      for (int64_t i = 0; i < w; ++i) {
        Store(&y[i], (x[i] - mean) * rstd * a.gamma[i] + a.beta[i]);
      }
    } else {
      for (int64_t i = 0; i < w; ++i) Store(&y[i], (x[i] - mean) * rstd * a.gamma[i]);
    }
    a.mean[r] = mean;
    a.rstd[r] = rstd;
  }
}

// With x̂ = (x - mean)·rstd and g = dy·γ: dx = rstd·(g - mean(g) - x̂·mean(g·x̂))  (Ba et al.,
// 2016).
template <class T>
void NormBackwardRows(const NormBackward<T>& a, int64_t begin, int64_t end,
                      float* __restrict gamma_part, float* __restrict beta_part,
                      float* __restrict branch_part) {
  const int64_t w = a.width;
  for (int64_t r = begin; r < end; ++r) {
    const T* __restrict dy = a.dy + r * w;
    const float* __restrict x = a.x + r * w;
    float* __restrict dx = a.dx + r * w;
    const float mean = a.mean[r], rstd = a.rstd[r];
    float sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
    for (int64_t i = 0; i < w; ++i) {
      const float d = Load(dy[i]);
      const float hat = (x[i] - mean) * rstd;
      const float g = d * a.gamma[i];
      sum += g;
      dot += g * hat;
      gamma_part[i] += d * hat;
    }
    if (beta_part != nullptr) {
      for (int64_t i = 0; i < w; ++i) beta_part[i] += Load(dy[i]);
    }
    sum /= static_cast<float>(w);
    dot /= static_cast<float>(w);
    const float keep_dx = a.first ? 0.0f : 1.0f;
    for (int64_t i = 0; i < w; ++i) {
      const float hat = (x[i] - mean) * rstd;
      const float before = a.first ? 0.0f : dx[i] * keep_dx;
      dx[i] = before + rstd * (Load(dy[i]) * a.gamma[i] - sum - hat * dot);
    }
    if (a.branch == nullptr) continue;
    T* __restrict branch = a.branch + r * w;
    const uint32_t row_seed = RowSeed(a.dropout.seed, r);
    if (a.dropout.threshold != 0) {
      for (int64_t i = 0; i < w; ++i) {
        const float d = dx[i] * Keep(a.dropout, row_seed, i);
        Store(&branch[i], d);
        if (branch_part != nullptr) branch_part[i] += d;
      }
    } else {
      for (int64_t i = 0; i < w; ++i) Store(&branch[i], dx[i]);
      if (branch_part != nullptr) {
        for (int64_t i = 0; i < w; ++i) branch_part[i] += dx[i];
      }
    }
  }
}

constexpr float kSqrt2OverPi = 0.7978845608028654f;
constexpr float kCubic = 0.044715f;

template <class T>
void Gelu(T* __restrict pre, const float* __restrict bias, T* __restrict out, int64_t width,
          int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    T* __restrict p = pre + r * width;
    T* __restrict o = out + r * width;
    if (bias != nullptr) {
      for (int64_t i = 0; i < width; ++i) Store(&p[i], Load(p[i]) + bias[i]);
    }
    for (int64_t i = 0; i < width; ++i) {
      const float x = Load(p[i]);
      const float t = Tanh(kSqrt2OverPi * (x + kCubic * x * x * x));
      Store(&o[i], 0.5f * x * (1.0f + t));
    }
  }
}

template <class T>
void GeluBackward(const T* __restrict pre, T* __restrict d, int64_t width, int64_t begin,
                  int64_t end, float* __restrict column_part) {
  for (int64_t r = begin; r < end; ++r) {
    const T* __restrict p = pre + r * width;
    T* __restrict g = d + r * width;
    for (int64_t i = 0; i < width; ++i) {
      const float x = Load(p[i]);
      const float t = Tanh(kSqrt2OverPi * (x + kCubic * x * x * x));
      const float inner = kSqrt2OverPi * (1.0f + 3.0f * kCubic * x * x);
      Store(&g[i], Load(g[i]) * (0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner));
    }
    if (column_part == nullptr) continue;
    for (int64_t i = 0; i < width; ++i) column_part[i] += Load(g[i]);
  }
}

template <class T>
void ColumnSums(const T* __restrict x, int64_t width, int64_t begin, int64_t end,
                float* __restrict part) {
  for (int64_t r = begin; r < end; ++r) {
    const T* __restrict row = x + r * width;
    for (int64_t i = 0; i < width; ++i) part[i] += Load(row[i]);
  }
}

template <class T>
void CrossEntropy(T* logits, const int64_t* targets, int64_t width, bool gradient, float scale,
                  float* losses, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    T* __restrict row = logits + r * width;
    float top = Load(row[0]);
#pragma omp simd reduction(max : top)
    for (int64_t i = 1; i < width; ++i) top = top < Load(row[i]) ? Load(row[i]) : top;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; ++i) sum += Exp(Load(row[i]) - top);
    losses[r] = __builtin_logf(sum) + top - Load(row[targets[r]]);
    if (!gradient) continue;
    const float share = scale / sum;
    const float of_target = Exp(Load(row[targets[r]]) - top) * share - scale;
    for (int64_t i = 0; i < width; ++i) Store(&row[i], Exp(Load(row[i]) - top) * share);
    Store(&row[targets[r]], of_target);
  }
}

template <class T>
void Cast(const float* __restrict from, T* __restrict to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) Store(&to[i], from[i]);
}

template <class T>
void AddTo(const T* __restrict from, float* __restrict to, int64_t n, bool accumulate) {
  if (accumulate) {
    for (int64_t i = 0; i < n; ++i) to[i] += Load(from[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = Load(from[i]);
  }
}

// ---- attention ----

// C[m, n] = (add ? C : 0) + A·B; A's element (i, k) lies at a[i·row_step + k·k_step].
template <int M, int N>
inline void TileF32(const float* __restrict a, int64_t row_step, int64_t k_step,
                    const float* __restrict b, int64_t ldb, float* __restrict c, int64_t ldc,
                    int64_t depth, bool add) {
  float sums[M][N];
  for (int i = 0; i < M; ++i) {
    for (int j = 0; j < N; ++j) sums[i][j] = add ? c[i * ldc + j] : 0.0f;
  }
  for (int64_t k = 0; k < depth; ++k) {
    for (int i = 0; i < M; ++i) {
      const float value = a[i * row_step + k * k_step];
      for (int j = 0; j < N; ++j) sums[i][j] += value * b[k * ldb + j];
    }
  }
  for (int i = 0; i < M; ++i) {
    for (int j = 0; j < N; ++j) c[i * ldc + j] = sums[i][j];
  }
}

void EdgeF32(const float* a, int64_t row_step, int64_t k_step, const float* b, int64_t ldb,
             float* c, int64_t ldc, int64_t depth, bool add, int64_t m, int64_t n) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      float sum = add ? c[i * ldc + j] : 0.0f;
      for (int64_t k = 0; k < depth; ++k) sum += a[i * row_step + k * k_step] * b[k * ldb + j];
      c[i * ldc + j] = sum;
    }
  }
}

void ProductF32(const float* a, int64_t row_step, int64_t k_step, const float* b, int64_t ldb,
                float* c, int64_t ldc, int64_t m, int64_t n, int64_t depth, bool add) {
  constexpr int kM = 4, kN = kLanes * 2;
  for (int64_t j = 0; j < n; j += kN) {
    const int64_t columns = n - j < kN ? n - j : kN;
    for (int64_t i = 0; i < m; i += kM) {
      const int64_t rows = m - i < kM ? m - i : kM;
      const float* tile_a = a + i * row_step;
      float* tile_c = c + i * ldc + j;
      if (rows == kM && columns == kN) {
        TileF32<kM, kN>(tile_a, row_step, k_step, b + j, ldb, tile_c, ldc, depth, add);
      } else {
        EdgeF32(tile_a, row_step, k_step, b + j, ldb, tile_c, ldc, depth, add, rows, columns);
      }
    }
  }
}

constexpr int64_t kQueries = 32;  // a block of queries meets the keys up to its end

int64_t AttentionScratch(int64_t length, int64_t dim) {
  return 10 * length * dim + 2 * kQueries * length + 2 * length;
}

// rows[t, i] = qkv part `which` of head h, plus bias, times `scale`; and, if wanted, transposed.
template <class T>
void Unpack(const Attention<T>& a, int64_t b, int64_t h, int64_t which, float scale, float* rows,
            float* transposed) {
  const int64_t width = a.heads * a.dim;
  const float* bias = a.bias != nullptr ? a.bias + which * width + h * a.dim : nullptr;
  for (int64_t t = 0; t < a.length; ++t) {
    const T* from = a.qkv + (b * a.length + t) * 3 * width + which * width + h * a.dim;
    float* to = rows + t * a.dim;
    if (bias != nullptr) {
      for (int64_t i = 0; i < a.dim; ++i) to[i] = (Load(from[i]) + bias[i]) * scale;
    } else {
      for (int64_t i = 0; i < a.dim; ++i) to[i] = Load(from[i]) * scale;
    }
  }
  if (transposed == nullptr) return;
  for (int64_t i = 0; i < a.dim; ++i) {
    for (int64_t t = 0; t < a.length; ++t) transposed[i * a.length + t] = rows[t * a.dim + i];
  }
}

template <class T>
void AttentionHead(const Attention<T>& a, int64_t b, int64_t h, float* scratch) {
  const int64_t n = a.length, dim = a.dim, width = a.heads * dim;
  float* q = scratch;
  float* k = q + n * dim;
  float* k_t = k + n * dim;
  float* v = k_t + n * dim;
  float* o = v + n * dim;
  float* scores = o + n * dim;  // [kQueries, n]
  Unpack<T>(a, b, h, 0, 1.0f / __builtin_sqrtf(static_cast<float>(dim)), q, nullptr);
  Unpack<T>(a, b, h, 1, 1.0f, k, k_t);
  Unpack<T>(a, b, h, 2, 1.0f, v, nullptr);
  for (int64_t q0 = 0; q0 < n; q0 += kQueries) {
    const int64_t rows = n - q0 < kQueries ? n - q0 : kQueries;
    const int64_t keys = q0 + rows;
    ProductF32(q + q0 * dim, dim, 1, k_t, n, scores, n, rows, keys, dim, false);
    for (int64_t i = 0; i < rows; ++i) {
      float* s = scores + i * n;
      const int64_t seen = q0 + i + 1;
      float top = s[0];
#pragma omp simd reduction(max : top)
      for (int64_t j = 1; j < seen; ++j) top = top < s[j] ? s[j] : top;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < seen; ++j) {
        s[j] = Exp(s[j] - top);
        sum += s[j];
      }
      const float share = 1.0f / sum;
      for (int64_t j = 0; j < seen; ++j) s[j] *= share;
      for (int64_t j = seen; j < keys; ++j) s[j] = 0;
      const int64_t row = (b * a.heads + h) * n + q0 + i;
      if (a.lse != nullptr) a.lse[row] = top + __builtin_logf(sum);
      if (a.dropout.threshold != 0) {
        const uint32_t seed = RowSeed(a.dropout.seed, row);
        for (int64_t j = 0; j < seen; ++j) s[j] *= Keep(a.dropout, seed, j);
      }
    }
    ProductF32(scores, n, 1, v, dim, o + q0 * dim, dim, rows, dim, keys, false);
  }
  for (int64_t t = 0; t < n; ++t) {
    T* to = a.out + (b * n + t) * width + h * dim;
    for (int64_t i = 0; i < dim; ++i) Store(&to[i], o[t * dim + i]);
  }
}

// With P the probabilities and D = rowsum(dO∘O): dS = P∘(dP - D)  (Dao et al. 2022, appendix B).
template <class T>
void AttentionBackwardHead(const Attention<T>& a, int64_t b, int64_t h, float* scratch) {
  const int64_t n = a.length, dim = a.dim, width = a.heads * dim;
  float* q = scratch;
  float* k = q + n * dim;
  float* k_t = k + n * dim;
  float* v = k_t + n * dim;
  float* v_t = v + n * dim;
  float* d_out = v_t + n * dim;
  float* dq = d_out + n * dim;
  float* dk = dq + n * dim;
  float* dv = dk + n * dim;
  float* p = dv + n * dim;  // [kQueries, n]
  float* ds = p + kQueries * n;
  float* row_dots = ds + kQueries * n;  // [n]
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(dim));
  Unpack<T>(a, b, h, 0, scale, q, nullptr);
  Unpack<T>(a, b, h, 1, 1.0f, k, k_t);
  Unpack<T>(a, b, h, 2, 1.0f, v, v_t);
  for (int64_t t = 0; t < n; ++t) {
    const int64_t at = (b * n + t) * width + h * dim;
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < dim; ++i) {
      d_out[t * dim + i] = Load(a.dout[at + i]);
      dot += Load(a.dout[at + i]) * Load(a.out[at + i]);
    }
    row_dots[t] = dot;
  }
  for (int64_t i = 0; i < n * dim; ++i) dk[i] = dv[i] = 0;
  for (int64_t q0 = 0; q0 < n; q0 += kQueries) {
    const int64_t rows = n - q0 < kQueries ? n - q0 : kQueries;
    const int64_t keys = q0 + rows;
    ProductF32(q + q0 * dim, dim, 1, k_t, n, p, n, rows, keys, dim, false);
    ProductF32(d_out + q0 * dim, dim, 1, v_t, n, ds, n, rows, keys, dim, false);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = (b * a.heads + h) * n + q0 + i, seen = q0 + i + 1;
      const float lse = a.lse[row], dot = row_dots[q0 + i];
      float* __restrict pi = p + i * n;
      float* __restrict di = ds + i * n;
      if (a.dropout.threshold != 0) {
        const uint32_t seed = RowSeed(a.dropout.seed, row);
        for (int64_t j = 0; j < seen; ++j) {
          const float keep = Keep(a.dropout, seed, j);
          const float pj = Exp(pi[j] - lse);
          di[j] = pj * (di[j] * keep - dot);
          pi[j] = pj * keep;
        }
      } else {
        for (int64_t j = 0; j < seen; ++j) {
          pi[j] = Exp(pi[j] - lse);
          di[j] = pi[j] * (di[j] - dot);
        }
      }
      for (int64_t j = seen; j < keys; ++j) pi[j] = di[j] = 0;
    }
    ProductF32(ds, n, 1, k, dim, dq + q0 * dim, dim, rows, dim, keys, false);
    ProductF32(p, 1, n, d_out + q0 * dim, dim, dv, dim, keys, dim, rows, true);
    ProductF32(ds, 1, n, q + q0 * dim, dim, dk, dim, keys, dim, rows, true);
  }
  for (int64_t t = 0; t < n; ++t) {
    T* to = a.dqkv + (b * n + t) * 3 * width + h * dim;
    for (int64_t i = 0; i < dim; ++i) {
      Store(&to[i], dq[t * dim + i] * scale);  // q carries the scale already: dk needs none
      Store(&to[width + i], dk[t * dim + i]);
      Store(&to[2 * width + i], dv[t * dim + i]);
    }
  }
}

// The best attention for the storage that was compiled in, and for the head's width.
template <class T>
void AnyAttentionHead(const Attention<T>& a, int64_t b, int64_t h, float* scratch) {
#ifdef __AVX512BF16__
  if constexpr (std::is_same_v<T, Bf16>) {
    if (DotAttentionFits(a.dim)) return DotAttentionHead(a, b, h, scratch);
  }
#endif
  AttentionHead<T>(a, b, h, scratch);
}

template <class T>
void AnyAttentionBackwardHead(const Attention<T>& a, int64_t b, int64_t h, float* scratch) {
#ifdef __AVX512BF16__
  if constexpr (std::is_same_v<T, Bf16>) {
    if (DotAttentionFits(a.dim)) return DotAttentionBackwardHead(a, b, h, scratch);
  }
#endif
  AttentionBackwardHead<T>(a, b, h, scratch);
}

int64_t AnyAttentionScratch(int64_t length, int64_t dim) {
#ifdef __AVX512BF16__
  return DotAttentionScratch(length, dim) + AttentionScratch(length, dim);
#else
  return AttentionScratch(length, dim);
#endif
}

template <class T>
constexpr Table<T> kTable = {.norm = Norm<T>,
                             .norm_backward = NormBackwardRows<T>,
                             .gelu = Gelu<T>,
                             .gelu_backward = GeluBackward<T>,
                             .column_sums = ColumnSums<T>,
                             .cross_entropy = CrossEntropy<T>,
                             .attention = AnyAttentionHead<T>,
                             .attention_backward = AnyAttentionBackwardHead<T>,
                             .attention_scratch = AnyAttentionScratch,
                             .cast = Cast<T>,
                             .add_to = AddTo<T>};

}  // namespace

namespace LR_LOOPS {
extern const Table<float>& table_f32;
extern const Table<Bf16>& table_bf16;
const Table<float>& table_f32 = kTable<float>;
const Table<Bf16>& table_bf16 = kTable<Bf16>;
}  // namespace LR_LOOPS

}  // namespace longrun::model::loops
