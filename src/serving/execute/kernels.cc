// Compiled once per instruction set, with LR_KERNELS naming the set. Inline functions of the
// standard library must not be used here: the linker keeps one copy of each, and could keep the one
// that the machine cannot run.
#include "serving/execute/kernels.h"

#include "serving/execute/kernel_attention.h"
#include "serving/execute/kernel_product.h"

namespace longrun::serving {
namespace {

// In lanes, so that the order is fixed; what is over goes to the first lanes.
inline float SumOf(const float* x, int64_t n, float mean, bool squares) {
  Vec sums = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec v = LoadVec(x + i) - Splat(mean);
    sums = squares ? Fma(v, v, sums) : sums + v;
  }
  float rest[kLanes] = {};
  for (int64_t j = 0; i + j < n; ++j)
    rest[j] = squares ? (x[i + j] - mean) * (x[i + j] - mean) : x[i + j] - mean;
  return SumLanes(sums + LoadVec(rest));
}

template <class T>
inline void Scale(const Norm& n, const float* __restrict x, float mean, float rstd,
                  T* __restrict y) {
  if (n.beta != nullptr) {
    for (int64_t i = 0; i < n.width; ++i) {
      Store(&y[i], (x[i] - mean) * rstd * n.gamma[i] + n.beta[i]);
    }
  } else {
    for (int64_t i = 0; i < n.width; ++i) Store(&y[i], (x[i] - mean) * rstd * n.gamma[i]);
  }
}

void RunNorm(const Norm& n, const float* x, void* y, bool y_f32) {
  const float width = static_cast<float>(n.width);
  const float mean = n.rms ? 0.0f : SumOf(x, n.width, 0.0f, false) / width;
  const float variance = SumOf(x, n.width, mean, true) / width;
  const float rstd = 1.0f / __builtin_sqrtf(variance + n.epsilon);
  if (y_f32) {
    Scale(n, x, mean, rstd, static_cast<float*>(y));
  } else {
    Scale(n, x, mean, rstd, static_cast<Bf16*>(y));
  }
}

bool AllFinite(const float* x, int64_t n) {
  uint32_t wrong = 0;
  for (int64_t i = 0; i < n; ++i) {
    wrong |= (model::loops::ToBits(x[i]) & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
  }
  return wrong == 0;
}

bool FromF32(const void* from, float* to, int64_t n) {
  __builtin_memcpy(to, from, static_cast<size_t>(n) * 4);
  return AllFinite(to, n);
}

bool FromBf16(const void* from, float* to, int64_t n) {
  const auto* bytes = static_cast<const unsigned char*>(from);
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    __builtin_memcpy(&bits, bytes + 2 * i, 2);
    to[i] = model::loops::FromBits(static_cast<uint32_t>(bits) << 16);
  }
  return AllFinite(to, n);
}

// A half's exponent is moved by a product with 2^112, which also makes subnormals right.
bool FromF16(const void* from, float* to, int64_t n) {
  const auto* bytes = static_cast<const unsigned char*>(from);
  uint32_t wrong = 0;
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    __builtin_memcpy(&bits, bytes + 2 * i, 2);
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
    const float size =
        model::loops::FromBits(static_cast<uint32_t>(bits & 0x7fffu) << 13) * 0x1p112f;
    to[i] = model::loops::FromBits(model::loops::ToBits(size) | sign);
    wrong |= (bits & 0x7c00u) == 0x7c00u ? 1u : 0u;
  }
  return wrong == 0;
}

uint64_t Read(const std::byte* from, int64_t n) {
  constexpr int kVecs = 256 / sizeof(Words);
  Words sums[kVecs] = {};
  for (int64_t i = 0; i < n; i += 256) {
    for (int line = 0; line < 256; line += 64) __builtin_prefetch(from + i + kAheadBytes + line);
    for (int v = 0; v < kVecs; ++v) {
      sums[v] ^= LoadWords(from + i + v * static_cast<int64_t>(sizeof(Words)));
    }
  }
  uint64_t result = 0;
  for (int v = 0; v < kVecs; ++v) {
    for (int i = 0; i < kLanes; ++i) result ^= sums[v][i];
  }
  return result;
}

#define LR_TEXT_OF(x) #x
#define LR_TEXT(x) LR_TEXT_OF(x)

}  // namespace

namespace LR_KERNELS {

extern const Kernels kernels;
const Kernels kernels = {
    .name = LR_TEXT(LR_KERNELS),
    .lanes = kLanes,
    .panel = kPanel,
    .max_rows = kMaxRows,
    .pack_panel = PackPanel,
    .pack_step = PackStep,
    .pack_rows = PackRowsTile,
    .product = RunProduct,
    .norm = RunNorm,
    .store_kv = StoreKv,
    .attention = RunAttention,
    .attention_scratch = AttentionScratch,
    .from_f32 = FromF32,
    .from_bf16 = FromBf16,
    .from_f16 = FromF16,
    .read = Read,
    .spin = Spin,
};

}  // namespace LR_KERNELS
}  // namespace longrun::serving
