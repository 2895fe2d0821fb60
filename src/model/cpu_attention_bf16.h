// Attention of one head by the bf16 dot products of AVX-512 (vdpbf16ps: sixteen lanes, each adding
// two products of bf16 to an f32). Included by cpu_loops.cc where the instructions are there.
//
// A product C = A·B takes A as rows of bf16 whose neighbours along the depth are one 32-bit pair,
// and B as "pairs": element (p, j) holds B's rows 2p and 2p + 1 of column j in one 32-bit word.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "model/cpu_loops.h"
#include "model/cpu_math.h"

namespace longrun::model::loops {
namespace {

constexpr int64_t kPad = 64;    // sequences are padded to whole tiles, with zeros
constexpr int64_t kBlock = 32;  // queries (forward) or keys (backward) taken at once

inline int64_t Padded(int64_t n) { return (n + kPad - 1) / kPad * kPad; }

// Pairs of A: element (i, p) at data[i·row_step + p·pair_step].
struct Left {
  const uint32_t* data;
  int64_t row_step, pair_step;
};

// Rows of bf16 as they lie, `stride` elements apart.
inline Left RowsOf(const Bf16* rows, int64_t stride) {
  return {reinterpret_cast<const uint32_t*>(rows), stride / 2, 1};
}

// Bᵀ of a B in pairs: A's rows are its columns.
inline Left ColumnsOf(const uint32_t* pairs, int64_t stride) { return {pairs, 1, stride}; }

// M rows × 16·Z columns; depth in pairs.
template <int M, int Z>
inline void DotTile(const Left& a, const uint32_t* __restrict b, int64_t ldb, float* __restrict c,
                    int64_t ldc, int64_t depth, bool add) {
  __m512 sums[M][Z];
  for (int i = 0; i < M; ++i) {
    for (int z = 0; z < Z; ++z) {
      sums[i][z] = add ? _mm512_loadu_ps(c + i * ldc + 16 * z) : _mm512_setzero_ps();
    }
  }
  const uint32_t* __restrict words = a.data;
  for (int64_t p = 0; p < depth; ++p) {
    __m512bh columns[Z];
    for (int z = 0; z < Z; ++z) {
      columns[z] = (__m512bh)_mm512_loadu_si512(b + p * ldb + 16 * z);
    }
    for (int i = 0; i < M; ++i) {
      const auto word = static_cast<int>(words[i * a.row_step + p * a.pair_step]);
      const __m512bh row = (__m512bh)_mm512_set1_epi32(word);
      for (int z = 0; z < Z; ++z) sums[i][z] = _mm512_dpbf16_ps(sums[i][z], row, columns[z]);
    }
  }
  for (int i = 0; i < M; ++i) {
    for (int z = 0; z < Z; ++z) _mm512_storeu_ps(c + i * ldc + 16 * z, sums[i][z]);
  }
}

template <int Z>
inline void DotColumns(const Left& a, const uint32_t* b, int64_t ldb, float* c, int64_t ldc,
                       int64_t m, int64_t depth, bool add) {
  const auto from = [&](int64_t i) {
    return Left{a.data + i * a.row_step, a.row_step, a.pair_step};
  };
  int64_t i = 0;
  for (; i + 6 <= m; i += 6) DotTile<6, Z>(from(i), b, ldb, c + i * ldc, ldc, depth, add);
  for (; i + 2 <= m; i += 2) DotTile<2, Z>(from(i), b, ldb, c + i * ldc, ldc, depth, add);
  for (; i < m; ++i) DotTile<1, Z>(from(i), b, ldb, c + i * ldc, ldc, depth, add);
}

// C[m, n] = (add ? C : 0) + A·B; n a multiple of 16; strides in words.
inline void Dot(const Left& a, const uint32_t* b, int64_t ldb, float* c, int64_t ldc, int64_t m,
                int64_t n, int64_t depth, bool add) {
  int64_t j = 0;
  for (; j + 64 <= n; j += 64) DotColumns<4>(a, b + j, ldb, c + j, ldc, m, depth, add);
  for (; j + 32 <= n; j += 32) DotColumns<2>(a, b + j, ldb, c + j, ldc, m, depth, add);
  for (; j < n; j += 16) DotColumns<1>(a, b + j, ldb, c + j, ldc, m, depth, add);
}

inline void Round(const float* from, Bf16* to, int64_t n) {  // n a multiple of 16
  for (int64_t i = 0; i < n; i += 16) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i),
                        (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + i)));
  }
}

// rows [padded, dim] of bf16: part `which` of head h plus bias; zeros past the length.
inline void PackRows(const Bf16* from, int64_t stride, const float* bias, int64_t length,
                     int64_t padded, int64_t dim, Bf16* rows) {
  for (int64_t t = 0; t < length; ++t) {
    if (bias != nullptr) {
      for (int64_t i = 0; i < dim; ++i) {
        Store(&rows[t * dim + i], Load(from[t * stride + i]) + bias[i]);
      }
    } else {
      __builtin_memcpy(rows + t * dim, from + t * stride, static_cast<size_t>(dim) * sizeof(Bf16));
    }
  }
  __builtin_memset(rows + length * dim, 0,
                   static_cast<size_t>((padded - length) * dim) * sizeof(Bf16));
}

// pairs(p, j) = rows (2p, 2p + 1) of column j.
inline void PairRows(const Bf16* rows, int64_t n, int64_t columns, uint32_t* pairs) {
  for (int64_t p = 0; p < n / 2; ++p) {
    const Bf16* __restrict even = rows + 2 * p * columns;
    const Bf16* __restrict odd = even + columns;
    uint32_t* __restrict to = pairs + p * columns;
    for (int64_t j = 0; j < columns; ++j) {
      to[j] = even[j].bits | static_cast<uint32_t>(odd[j].bits) << 16;
    }
  }
}

// Sixteen rows of sixteen words, transposed in registers.
inline void Transpose16(const uint32_t* from, int64_t from_stride, uint32_t* to,
                        int64_t to_stride) {
  __m512i r[16], t[16];
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(from + i * from_stride);
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int half = 0; half < 16; half += 8) {
    for (int i = half; i < half + 4; ++i) {
      t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
      t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    }
  }
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(to + i * to_stride, r[i]);
}

// to[j, i] = from[i, j], 32-bit words, both sides multiples of 16.
inline void Transpose(const uint32_t* from, int64_t rows, int64_t columns, uint32_t* to) {
  for (int64_t i = 0; i < rows; i += 16) {
    for (int64_t j = 0; j < columns; j += 16) {
      Transpose16(from + i * columns + j, columns, to + j * rows + i, rows);
    }
  }
}

class Arena {
 public:
  explicit Arena(float* scratch) : next_((reinterpret_cast<uintptr_t>(scratch) + 63) / 64 * 64) {}
  template <class U>
  U* Take(int64_t n) {
    U* taken = reinterpret_cast<U*>(next_);
    next_ += (static_cast<uintptr_t>(n) * sizeof(U) + 63) / 64 * 64;
    return taken;
  }

 private:
  uintptr_t next_;
};

int64_t DotAttentionScratch(int64_t length, int64_t dim) {
  const int64_t n = Padded(length);
  return 8 * n * dim + 4 * kBlock * n + 2 * n + 1024;
}

inline bool DotAttentionFits(int64_t dim) { return dim % 32 == 0; }

void DotAttentionHead(const Attention<Bf16>& a, int64_t b, int64_t h, float* scratch) {
  const int64_t length = a.length, n = Padded(length), dim = a.dim, width = a.heads * dim;
  const Bf16* qkv = a.qkv + b * length * 3 * width + h * dim;
  const auto bias = [&](int64_t which) {
    return a.bias != nullptr ? a.bias + which * width + h * dim : nullptr;
  };
  Arena arena(scratch);
  Bf16* q = arena.Take<Bf16>(n * dim);
  Bf16* rows = arena.Take<Bf16>(n * dim);
  uint32_t* k_pairs = arena.Take<uint32_t>(dim / 2 * n);  // [dim / 2, n]: Kᵀ
  uint32_t* v_pairs = arena.Take<uint32_t>(n / 2 * dim);  // [n / 2, dim]
  float* scores = arena.Take<float>(kBlock * n);
  Bf16* p = arena.Take<Bf16>(kBlock * n);
  float* o = arena.Take<float>(kBlock * dim);
  PackRows(qkv, 3 * width, bias(0), length, n, dim, q);
  PackRows(qkv + width, 3 * width, bias(1), length, n, dim, rows);
  Transpose(reinterpret_cast<const uint32_t*>(rows), n, dim / 2, k_pairs);
  PackRows(qkv + 2 * width, 3 * width, bias(2), length, n, dim, rows);
  PairRows(rows, n, dim, v_pairs);
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(dim));
  for (int64_t q0 = 0; q0 < length; q0 += kBlock) {
    const int64_t keys = q0 + kBlock;
    Dot(RowsOf(q + q0 * dim, dim), k_pairs, n, scores, n, kBlock, keys, dim / 2, false);
    float shares[kBlock];
    for (int64_t i = 0; i < kBlock; ++i) {
      float* __restrict s = scores + i * n;
      const int64_t seen = q0 + i + 1;
      float top = s[0];
#pragma omp simd reduction(max : top)
      for (int64_t j = 0; j < seen; ++j) top = top < s[j] ? s[j] : top;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < seen; ++j) {
        s[j] = Exp((s[j] - top) * scale);
        sum += s[j];
      }
      for (int64_t j = seen; j < keys; ++j) s[j] = 0;
      shares[i] = 1.0f / sum;
      if (q0 + i < length) {
        const int64_t row = (b * a.heads + h) * length + q0 + i;
        if (a.lse != nullptr) a.lse[row] = top * scale + __builtin_logf(sum);
        if (a.dropout.threshold != 0) {
          const uint32_t seed = RowSeed(a.dropout.seed, row);
          for (int64_t j = 0; j < seen; ++j) s[j] *= Keep(a.dropout, seed, j);
        }
      }
      Round(s, p + i * n, keys);
    }
    Dot(RowsOf(p, n), v_pairs, dim, o, dim, kBlock, dim, keys / 2, false);
    for (int64_t i = 0; i < kBlock && q0 + i < length; ++i) {
      for (int64_t j = 0; j < dim; ++j) o[i * dim + j] *= shares[i];
      Round(o + i * dim, a.out + (b * length + q0 + i) * width + h * dim, dim);
    }
  }
}

// Works on the transposed scores, keys down and queries across, so that every product finds its
// operands as they lie: Pᵀ and dSᵀ are rows, and no tile is transposed on the way.
void DotAttentionBackwardHead(const Attention<Bf16>& a, int64_t b, int64_t h, float* scratch) {
  const int64_t length = a.length, n = Padded(length), dim = a.dim, width = a.heads * dim;
  const Bf16* qkv = a.qkv + b * length * 3 * width + h * dim;
  const auto bias = [&](int64_t which) {
    return a.bias != nullptr ? a.bias + which * width + h * dim : nullptr;
  };
  Arena arena(scratch);
  Bf16* rows = arena.Take<Bf16>(n * dim);
  Bf16* k = arena.Take<Bf16>(n * dim);
  Bf16* v = arena.Take<Bf16>(n * dim);
  uint32_t* k_pairs = arena.Take<uint32_t>(n / 2 * dim);    // [n / 2, dim]
  uint32_t* q_t_pairs = arena.Take<uint32_t>(dim / 2 * n);  // [dim / 2, n]: Qᵀ
  uint32_t* q_pairs = arena.Take<uint32_t>(n / 2 * dim);    // [n / 2, dim]
  uint32_t* d_t_pairs = arena.Take<uint32_t>(dim / 2 * n);  // dOᵀ
  uint32_t* d_pairs = arena.Take<uint32_t>(n / 2 * dim);    // dO
  float* dq = arena.Take<float>(n * dim);
  float* p = arena.Take<float>(kBlock * n);
  float* ds = arena.Take<float>(kBlock * n);
  Bf16* p_rounded = arena.Take<Bf16>(kBlock * n);
  Bf16* ds_rounded = arena.Take<Bf16>(kBlock * n);
  uint32_t* ds_pairs = arena.Take<uint32_t>(kBlock / 2 * n);
  float* lse = arena.Take<float>(n);
  float* dots = arena.Take<float>(n);
  float* sums = arena.Take<float>(kBlock * dim);

  PackRows(qkv, 3 * width, bias(0), length, n, dim, rows);
  Transpose(reinterpret_cast<const uint32_t*>(rows), n, dim / 2, q_t_pairs);
  PairRows(rows, n, dim, q_pairs);
  const Bf16* out = a.out + b * length * width + h * dim;
  const Bf16* dout = a.dout + b * length * width + h * dim;
  PackRows(dout, width, nullptr, length, n, dim, rows);
  Transpose(reinterpret_cast<const uint32_t*>(rows), n, dim / 2, d_t_pairs);
  PairRows(rows, n, dim, d_pairs);
  PackRows(qkv + width, 3 * width, bias(1), length, n, dim, k);
  PackRows(qkv + 2 * width, 3 * width, bias(2), length, n, dim, v);
  PairRows(k, n, dim, k_pairs);
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(dim));
  const int64_t first_row = (b * a.heads + h) * length;
  for (int64_t t = 0; t < n; ++t) {
    float dot = 0;
    if (t < length) {
#pragma omp simd reduction(+ : dot)
      for (int64_t i = 0; i < dim; ++i) dot += Load(out[t * width + i]) * Load(dout[t * width + i]);
    }
    dots[t] = dot;
    lse[t] = t < length ? a.lse[first_row + t] : 0.0f;
  }
  for (int64_t i = 0; i < n * dim; ++i) dq[i] = 0;

  for (int64_t k0 = 0; k0 < length; k0 += kBlock) {
    const int64_t queries = n - k0;  // from query k0 on
    Dot(RowsOf(k + k0 * dim, dim), q_t_pairs + k0, n, p, n, kBlock, queries, dim / 2, false);
    Dot(RowsOf(v + k0 * dim, dim), d_t_pairs + k0, n, ds, n, kBlock, queries, dim / 2, false);
    for (int64_t i = 0; i < kBlock; ++i) {
      float* __restrict pi = p + i * n;
      float* __restrict di = ds + i * n;
      const float* __restrict l = lse + k0;
      const float* __restrict d = dots + k0;
      for (int64_t j = 0; j < i; ++j) pi[j] = di[j] = 0;
      if (a.dropout.threshold != 0) {
        for (int64_t j = i; j < queries; ++j) {
          const uint32_t seed = RowSeed(a.dropout.seed, first_row + k0 + j);
          const float keep = Keep(a.dropout, seed, k0 + i);
          const float pj = Exp(pi[j] * scale - l[j]);
          di[j] = pj * (di[j] * keep - d[j]);
          pi[j] = pj * keep;
        }
      } else {
        for (int64_t j = i; j < queries; ++j) {
          pi[j] = Exp(pi[j] * scale - l[j]);
          di[j] = pi[j] * (di[j] - d[j]);
        }
      }
      Round(pi, p_rounded + i * n, queries);
      Round(di, ds_rounded + i * n, queries);
    }
    PairRows(ds_rounded, kBlock, n, ds_pairs);
    const int64_t keys = length - k0 < kBlock ? length - k0 : kBlock;
    Bf16* dk_out = a.dqkv + (b * length + k0) * 3 * width + width + h * dim;
    Dot(RowsOf(ds_rounded, n), q_pairs + k0 / 2 * dim, dim, sums, dim, kBlock, dim, queries / 2,
        false);
    for (int64_t i = 0; i < keys; ++i) {
      for (int64_t j = 0; j < dim; ++j) sums[i * dim + j] *= scale;
      Round(sums + i * dim, dk_out + i * 3 * width, dim);
    }
    Dot(RowsOf(p_rounded, n), d_pairs + k0 / 2 * dim, dim, sums, dim, kBlock, dim, queries / 2,
        false);
    for (int64_t i = 0; i < keys; ++i) {
      Round(sums + i * dim, dk_out + width + i * 3 * width, dim);
    }
    Dot(ColumnsOf(ds_pairs, n), k_pairs + k0 / 2 * dim, dim, dq + k0 * dim, dim, queries, dim,
        kBlock / 2, true);
  }
  for (int64_t t = 0; t < length; ++t) {
    Bf16* to = a.dqkv + (b * length + t) * 3 * width + h * dim;
    for (int64_t j = 0; j < dim; ++j) dq[t * dim + j] *= scale;
    Round(dq + t * dim, to, dim);
  }
}

}  // namespace
}  // namespace longrun::model::loops
