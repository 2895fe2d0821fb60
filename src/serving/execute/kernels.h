// The loops of a serving step on the CPU: plain pointers, one thread each call. kernels.cc is
// compiled once for each kind of vector unit and the best that the machine has is picked when the
// program runs, as model/cpu_loops.h does for training.
//
// Batch invariance is kept here: every element of a result is summed in an order that depends on
// the model's sizes alone. A product's element is one chain of fused additions along k, whatever
// the number of rows; attention walks the keys in tiles of kKeyTile that begin at position 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "model/cpu_loops.h"
#include "serving/execute/executor.h"

namespace longrun::serving {

using model::loops::Bf16;

enum class WeightType { kF32, kBF16, kInt8 };

// A weight [n, k] packed for y = x·Wᵀ: panels of Kernels::panel columns of y (rows of W). A step of
// a panel holds one k of f32, or two of bf16 or int8, for each of its columns. Bytes of padding are
// zero.
struct PackedMatrix {
  WeightType type = WeightType::kF32;
  int64_t n = 0;
  int64_t k = 0;
  int64_t panel_bytes = 0;
  std::byte* data = nullptr;
  float* scales = nullptr;  // int8: [panels × panel], of each column

  int64_t steps() const { return type == WeightType::kF32 ? k : k / 2; }
};

// What becomes of a product.
enum class After {
  kStore,   // f32: out = y + bias
  kAdd,     // f32: out += y + bias
  kGelu,    // activation: out = gelu(y + bias), the tanh form
  kSwiGlu,  // activation: columns are gate and up in turn, a vector of each: out = silu(gate) · up
};

struct Product {
  const PackedMatrix* w = nullptr;
  const void* x = nullptr;  // as PackRows leaves it
  int64_t rows = 0;
  const float* bias = nullptr;  // [panels × panel], in the packed order, or null
  After after = After::kStore;
  void* out = nullptr;  // f32, or activation (f32 for f32 weights, else bf16)
  int64_t out_stride = 0;
  int64_t columns = 0;  // of out
};

// Columns of panels [panel_begin, panel_end), rows of tiles [tile_begin, tile_end).
struct ProductPart {
  int64_t panel_begin = 0, panel_end = 0;
  int64_t tile_begin = 0, tile_end = 0;
};

// Where the keys and values of a layer lie. In a block, each kv head has keys [head_dim][tokens],
// values [tokens][head_dim] and, for int8, scales of keys [tokens] and of values [tokens].
struct CacheView {
  KvType type = KvType::kF32;
  std::byte* base = nullptr;  // of this layer in block 0
  int64_t block_bytes = 0;    // from a block to the next
  int64_t head_bytes = 0;     // from a kv head to the next
  int64_t block_tokens = 0;
  int64_t head_dim = 0;
};

inline constexpr int64_t kTokensAtOnce = 16;

// Tokens [slot, slot + tokens) of a block, for one head: kTokensAtOnce at most.
struct NewTokens {
  BlockId block = 0;
  int64_t slot = 0;
  int64_t tokens = 0;
  int64_t kv_head = 0;
  const float* keys = nullptr;  // [tokens][head_dim], rows `stride` apart; `values` likewise
  const float* values = nullptr;
  int64_t stride = 0;
};

// Part of a step's rows, those of one sequence; heads of the kv head `kv_head` alone.
struct AttentionPart {
  const float* q = nullptr;  // row of token `begin`: [heads · head_dim], stride q_stride
  int64_t q_stride = 0;
  int64_t position = 0;        // of token 0
  int64_t begin = 0, end = 0;  // tokens
  int64_t group = 1;           // heads per kv head
  int64_t kv_head = 0;
  const BlockId* blocks = nullptr;
  float scale = 1;
  void* out = nullptr;  // activation: row of token `begin`
  int64_t out_stride = 0;
  bool out_f32 = true;
};

inline constexpr int64_t kKeyTile = 64;
inline constexpr int64_t kQueryRows = 32;  // (token, head) rows of an AttentionPart at most

struct Norm {
  const float* gamma = nullptr;
  const float* beta = nullptr;  // or null
  float epsilon = 0;
  bool rms = false;  // Zhang and Sennrich 2019: no mean is taken off
  int64_t width = 0;
};

struct Kernels {
  const char* name;
  int64_t lanes;     // f32 of a vector
  int64_t panel;     // columns: two vectors
  int64_t max_rows;  // of x that a tile takes

  // One panel from `columns` [panel][k] of f32; `scales` [panel] are written for int8.
  void (*pack_panel)(WeightType type, const float* columns, int64_t k, std::byte* to,
                     float* scales);
  // One step of a panel from `rows`, [1 of f32 or 2 of bf16][panel]: what pack_panel makes of them.
  void (*pack_step)(WeightType type, const float* rows, std::byte* to);
  // Tile `tile` of x [rows, k] of activations (words: one f32 or two bf16), tiles of TileRows.
  void (*pack_rows)(const uint32_t* x, int64_t stride_words, int64_t rows, int64_t words,
                    int64_t tile, uint32_t* to);
  void (*product)(const Product& product, const ProductPart& part);

  void (*norm)(const Norm& norm, const float* x, void* y, bool y_f32);  // a row
  void (*store_kv)(const CacheView& cache, const NewTokens& tokens);
  void (*attention)(const CacheView& cache, const AttentionPart& part, float* scratch);
  int64_t (*attention_scratch)(int64_t head_dim);  // floats

  // f32 from n stored elements; false where one is not finite.
  bool (*from_f32)(const void* from, float* to, int64_t n);
  bool (*from_bf16)(const void* from, float* to, int64_t n);
  bool (*from_f16)(const void* from, float* to, int64_t n);

  // For ceilings: reads n bytes (a multiple of 256); runs the product's inner loop on `tiles` tiles
  // that stay in the nearest cache and says how many operations that were.
  uint64_t (*read)(const std::byte* from, int64_t n);
  double (*spin)(WeightType type, int64_t tiles);
};

// Rows of the tiles that `rows` are cut into (the last may have fewer).
inline int64_t TileRows(const Kernels& kernels, int64_t rows) {
  const int64_t tiles = (rows + kernels.max_rows - 1) / kernels.max_rows;
  return tiles == 0 ? 1 : (rows + tiles - 1) / tiles;
}
inline int64_t Tiles(const Kernels& kernels, int64_t rows) {
  const int64_t height = TileRows(kernels, rows);
  return (rows + height - 1) / height;
}

// What this machine can run, the best first.
std::vector<const Kernels*> UsableKernels();

}  // namespace longrun::serving
