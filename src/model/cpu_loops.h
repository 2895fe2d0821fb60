// The model's inner loops on the CPU: plain pointers, one thread, no libtorch. cpu_loops.cc is
// compiled once for each kind of vector unit, and the best that the machine has is picked when the
// program runs. Storage is f32 or bf16; sums are f32.
//
// Rows are tokens: n = batch × length. Loops over rows take a range, for the caller to spread over
// threads. Sums down the rows go to `*_part` rows that the caller adds up in a fixed order, so that
// the result does not depend on which thread did what.
#pragma once

#include <cstdint>

namespace longrun::model::loops {

struct Bf16 {
  uint16_t bits;
};

// Drops element (row, column) where Hash(seed, row, column) falls below the threshold.
struct DropoutPlan {
  uint32_t seed = 0;
  uint32_t threshold = 0;  // rate · 2^24; 0: keeps all
  float scale = 1;         // 1 / (1 - rate)
};

// x_out = x + dropout(delta + bias); y = (x_out - mean) · rstd · gamma + beta.
template <class T>
struct NormForward {
  const float* x;     // [n, width]
  const T* delta;     // [n, width], or null: x_out is x and is not written
  const float* bias;  // [width] or null
  DropoutPlan dropout;
  const float* gamma;  // [width]
  const float* beta;   // [width] or null
  float epsilon;
  float* x_out;  // [n, width]
  T* y;          // [n, width]
  float* mean;   // [n]
  float* rstd;   // [n]
  int64_t width;
};

// dx = (first ? 0 : dx) + what dy gives; branch = dropout'(dx), the gradient of delta + bias.
template <class T>
struct NormBackward {
  const T* dy;         // [n, width]
  const float* x;      // [n, width], what was normalised
  const float* mean;   // [n]
  const float* rstd;   // [n]
  const float* gamma;  // [width]
  DropoutPlan dropout;
  bool first;
  float* dx;  // [n, width]
  T* branch;  // [n, width] or null
  int64_t width;
};

// One batch of causal self-attention; head h of token t of sequence b is
// qkv[(b·length + t)·3·heads·dim + (0|1|2)·heads·dim + h·dim].
template <class T>
struct Attention {
  const T* qkv;
  const float* bias;  // [3·heads·dim] or null: added to qkv
  int64_t batch, length, heads, dim;
  DropoutPlan dropout;  // of the probabilities; row = (b·heads + h)·length + query, column = key
  T* out;               // [n, heads·dim]
  float* lse;           // [batch, heads, length]: log of the sum of exponentials of each query
  const T* dout;        // backward: [n, heads·dim]
  T* dqkv;              // backward: as qkv
};

template <class T>
struct Table {
  void (*norm)(const NormForward<T>&, int64_t begin, int64_t end);
  // Parts: [width] each, zero at first, or null.
  void (*norm_backward)(const NormBackward<T>&, int64_t begin, int64_t end, float* gamma_part,
                        float* beta_part, float* branch_part);
  // pre += bias (null: none); out = gelu(pre), the tanh form.
  void (*gelu)(T* pre, const float* bias, T* out, int64_t width, int64_t begin, int64_t end);
  // d = d · gelu'(pre).
  void (*gelu_backward)(const T* pre, T* d, int64_t width, int64_t begin, int64_t end,
                        float* column_part);
  void (*column_sums)(const T* x, int64_t width, int64_t begin, int64_t end, float* part);
  // losses[row] = -log softmax(logits)[target]; with gradient: logits = scale · d loss / d logits.
  void (*cross_entropy)(T* logits, const int64_t* targets, int64_t width, bool gradient,
                        float scale, float* losses, int64_t begin, int64_t end);
  // `scratch`: attention_scratch(length, dim) floats.
  void (*attention)(const Attention<T>&, int64_t b, int64_t h, float* scratch);
  void (*attention_backward)(const Attention<T>&, int64_t b, int64_t h, float* scratch);
  int64_t (*attention_scratch)(int64_t length, int64_t dim);
  void (*cast)(const float* from, T* to, int64_t n);
  void (*add_to)(const T* from, float* to, int64_t n, bool accumulate);
};

// The best for this machine.
template <class T>
const Table<T>& BestTable();

// How its instruction set is called: "avx512_bf16", "avx512", "avx2", "plain".
const char* BestTableName();

}  // namespace longrun::model::loops
